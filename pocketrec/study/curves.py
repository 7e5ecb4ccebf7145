"""Learning curves: validation AUC at the evaluations of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pocketrec.study.rows import read_rows


@dataclass(frozen=True)
class Curve:
    """One run's evaluations, in order."""

    steps: tuple[int, ...]
    auc: tuple[float, ...]

    def first_reaching(self, level: float) -> int | None:
        """Optimiser steps done at the first evaluation of at least that AUC; None when none is."""
        return next((step for step, auc in zip(self.steps, self.auc, strict=True) if auc >= level), None)

    def before(self, step: int) -> int:
        """Optimiser steps done at the evaluation before that one; 0 before the first."""
        return max((at for at in self.steps if at < step), default=0)

    def best_by(self, step: float) -> float | None:
        """The best AUC of the evaluations up to that step; None before the first."""
        return max((auc for at, auc in zip(self.steps, self.auc, strict=True) if at <= step), default=None)


def read_curve(run: Path) -> Curve | None:
    """The curve of a run folder; None where it has none."""
    rows = [row for row in read_rows(run / "history.csv") if row["validation_auc"] not in ("", "nan")]
    if not rows:
        return None
    return Curve(tuple(int(row["step"]) for row in rows), tuple(float(row["validation_auc"]) for row in rows))
