"""The planner (floor 7): from table sizes and a budget, what to expect before anything is trained.

    >>> from pocketrec.plan import plan, preset
    >>> told = plan(preset("criteo-tb"), compression=10_000)
    >>> round(told.inflation.predicted, 1), told.budget.bytes
    (5.8, 10454248)

Needs no torch, but to calibrate. What is measured, what is derived and what is assumed stand apart in every output.
"""

from pocketrec.plan.budget import Budget
from pocketrec.plan.calibration import Calibration
from pocketrec.plan.inflation import Inflation, predicted_inflation
from pocketrec.plan.log import log_workload
from pocketrec.plan.planner import Plan, plan
from pocketrec.plan.presets import PRESETS, preset
from pocketrec.plan.workload import TableSize, Workload, parse_tables
from pocketrec.units import parse_bytes

__all__ = [
    "PRESETS",
    "Budget",
    "Calibration",
    "Inflation",
    "Plan",
    "TableSize",
    "Workload",
    "log_workload",
    "parse_bytes",
    "parse_tables",
    "plan",
    "predicted_inflation",
    "preset",
]
