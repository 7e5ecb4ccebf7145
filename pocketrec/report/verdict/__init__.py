"""The verdict in plain words: a headline, what the numbers say of every cell, what they do not say."""

from pocketrec.report.verdict.headline import Verdict as Verdict, verdict as verdict
