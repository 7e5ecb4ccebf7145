"""Iterations to a quality target, and how many more of them a small model takes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pocketrec.study.curves import Curve
from pocketrec.study.rows import Row
from pocketrec.study.targets import Target


@dataclass(frozen=True)
class Reached:
    """Iterations of one cell to one target."""

    target: Target
    level: float
    """The validation AUC to reach."""
    each: Mapping[int, int | None]
    """Seed -> optimiser steps at the first evaluation that reaches it; None where none does."""
    before: Mapping[int, int] = field(default_factory=dict)
    """Seed -> steps at the evaluation before: the target was reached somewhere after it."""
    at_once: bool = False
    """Whether a seed reaches it at its first evaluation: nobody knows how long before."""
    inflation: float | None = None
    """`steps` / those of full tables: the paper's 4.5x. None where one of the two did not get there, or where full
    tables did at once."""
    total_time_ratio: float | None = None
    """`inflation` / step speed-up: below 1, the small model also trains sooner."""

    @property
    def seeds(self) -> int:
        """How many reach it."""
        return sum(steps is not None for steps in self.each.values())

    @property
    def steps(self) -> float | None:
        """The (upper) median over all seeds, those that do not get there counted as never; None where it is never."""
        each = [math.inf if steps is None else steps for steps in self.each.values()]
        median = statistics.median_high(each) if each else math.inf
        return median if math.isfinite(median) else None


def iterations_to(target: Target, level: float, finals: Sequence[Row], curves: Mapping[str, Curve]) -> Reached:
    """Of a cell with these finals; `curves` by the `run` of a row."""
    found = {int(row["seed"]): curves.get(row["run"]) or Curve((), ()) for row in finals}
    each = {seed: curve.first_reaching(level) for seed, curve in found.items()}
    at_once = any(each[seed] == curve.steps[0] for seed, curve in found.items() if curve.steps)
    before = {seed: found[seed].before(steps) for seed, steps in each.items() if steps is not None}
    return Reached(target, level, each, before, at_once)


def beside_full(own: Reached, full: Reached, step_ratio: float | None) -> Reached:
    """`own` with its inflation and total-time ratio. step_ratio: time of its training step / that of full tables."""
    inflation = own.steps / full.steps if own.steps and full.steps and not full.at_once else None
    total = inflation * step_ratio if inflation is not None and step_ratio is not None else None
    return replace(own, inflation=inflation, total_time_ratio=total)
