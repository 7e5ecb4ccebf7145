"""Studies (floor 8): full tables beside every (scheme, compression, seed), tuned alike; what their folders say."""

from pocketrec.study.api import run_study as run_study
from pocketrec.study.cell import FULL as FULL, Cell as Cell
from pocketrec.study.config import StudyConfig as StudyConfig
from pocketrec.study.curves import Curve as Curve
from pocketrec.study.intervals import Interval as Interval
from pocketrec.study.iterations import Reached as Reached
from pocketrec.study.read import Study as Study, read_study as read_study
from pocketrec.study.settings import load_config as load_config
from pocketrec.study.summary import Summary as Summary
from pocketrec.study.targets import Target as Target
from pocketrec.study.ways import Way as Way
