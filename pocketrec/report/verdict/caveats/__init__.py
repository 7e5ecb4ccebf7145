"""What a study's numbers do not say: a rule each, which yields a sentence where it applies."""

from __future__ import annotations

from pocketrec.report.evidence import Evidence
from pocketrec.report.verdict.caveats import origin, quality, time


def caveats(evidence: Evidence) -> list[str]:
    """Every sentence that applies, the weightiest first."""
    rules = (*quality.RULES, *time.RULES, *origin.RULES)
    return [sentence for rule in rules for sentence in rule(evidence)]
