"""When a tuning run is given up: far behind the best finished one of its cell, at the same part of its schedule.

Conservative: not before a whole epoch, and only `MARGIN` behind, several times what the choice of a way is worth. A
rival that had learned so much more by then was never seen to be overtaken; if one were, a way that might have been
picked is lost, and no number is wrong. A final is never given up. Where runs go side by side, who is the rival depends
on which of them ended first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketrec.study.rows import read_rows

MARGIN = 0.02
"""Of validation AUC."""


@dataclass(frozen=True)
class Rival:
    """The best finished run: `auc[i]` was its best so far when `part[i]` of its schedule was done."""

    part: tuple[float, ...]
    auc: tuple[float, ...]

    def best_by(self, part: float) -> float:
        """The best AUC up to that part; 0 before the first evaluation."""
        return max((auc for at, auc in zip(self.part, self.auc, strict=True) if at <= part + 1e-9), default=0.0)


def read_rival(run: Path, epochs: int) -> Rival:
    """The rival in a run folder whose schedule has so many epochs."""
    rows = [row for row in read_rows(run / "history.csv") if row["validation_auc"]]
    return Rival(
        tuple(float(row["epoch"]) / epochs for row in rows), tuple(float(row["validation_auc"]) for row in rows)
    )


def is_hopeless(history: Sequence[Mapping[str, Any]], epochs: int, rival: Rival) -> bool:
    """Whether a run with this history, of a schedule of so many epochs, is to be given up."""
    epoch = history[-1]["epoch"]
    if epoch < 1 or epoch >= epochs:
        return False
    best = max(row["validation_auc"] for row in history)
    return best < rival.best_by(epoch / epochs) - MARGIN
