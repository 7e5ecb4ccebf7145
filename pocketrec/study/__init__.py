"""Studies (floor 8): full tables beside every (scheme, compression, seed), tuned alike; what their folders say."""

from pocketrec.study.cell import FULL as FULL, Cell as Cell
from pocketrec.study.curves import Curve as Curve
from pocketrec.study.intervals import Interval as Interval
from pocketrec.study.read import Study as Study, read_study as read_study
from pocketrec.study.summary import Reached as Reached, Summary as Summary
from pocketrec.study.targets import Target as Target
