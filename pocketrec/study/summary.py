"""What a study says of each cell: quality with its interval, bytes, iterations, step time, and the total-time ratio."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pocketrec.study.cell import FULL, Cell, cell_of
from pocketrec.study.curves import Curve
from pocketrec.study.intervals import Interval, interval, paired_difference
from pocketrec.study.iterations import Reached, beside_full, iterations_to
from pocketrec.study.rows import Row, number_of
from pocketrec.study.targets import Target


@dataclass(frozen=True)
class Summary:
    """One cell: its finals at the way to train that validation picked. AUC, log loss and seconds are over seeds."""

    cell: Cell
    way: str
    """How it was trained; empty while that is not picked."""
    settings: Mapping[str, Any]
    """Flags of `pocketrec train`, without the seed."""
    finals: Sequence[Row]
    """The rows measured, by seed."""
    error: str
    """Why there are no finals, or some are missing; empty when all is well."""
    test_auc: Interval | None
    test_log_loss: Interval | None
    best_validation_auc: Interval | None
    difference: Interval | None
    """Test AUC minus that of full tables, paired by seed; None for full tables themselves."""
    stored_bytes: int | None
    full_bytes: int | None
    id_map_bytes: int | None
    reached_compression: float | None
    peak_memory_bytes: int | None
    """The largest over seeds."""
    seconds: Interval | None
    """Of the training steps of a run, on one thread."""
    steps_to_best: Interval | None
    """Iterations to saturation: optimiser steps at the best evaluation."""
    iterations: Mapping[str, Reached]
    """By the text of the target."""
    step_ms: float | None
    step_ratio: float | None
    """Time of a training step / that of full tables."""

    @property
    def step_speed_up(self) -> float | None:
        """The paper's 4.3x: 1 / `step_ratio`."""
        return None if self.step_ratio is None else 1 / self.step_ratio


def summarize(
    cells: Sequence[Cell],
    rows: Sequence[Row],
    timing: Sequence[Row],
    curves: Mapping[str, Curve],
    targets: Sequence[Target],
) -> list[Summary]:
    """A summary per cell, in their order; `curves` by the `run` of a row."""
    full_finals = _finals(rows, FULL)
    full_auc = interval(list(_by_seed(full_finals, "best_validation_auc").values()))
    levels = [(t, t.level(full_auc.mean if full_auc else None)) for t in targets]
    known = [(t, level) for t, level in levels if level is not None]
    full_reached = {t.text: iterations_to(t, level, full_finals, curves) for t, level in known}
    return [_summary(cell, rows, timing, curves, known, full_finals, full_reached) for cell in cells]


def _summary(
    cell: Cell,
    rows: Sequence[Row],
    timing: Sequence[Row],
    curves: Mapping[str, Curve],
    targets: Sequence[tuple[Target, float]],
    full_finals: Sequence[Row],
    full_reached: Mapping[str, Reached],
) -> Summary:
    finals = _finals(rows, cell)
    step_ms, ratio = _step(timing, cell)
    auc = _by_seed(finals, "test_auc")
    first = finals[0] if finals else None
    reached = {t.text: iterations_to(t, level, finals, curves) for t, level in targets}
    return Summary(
        cell=cell,
        way=first["way"] if first else "",
        settings=json.loads(first["settings"]) if first else {},
        finals=finals,
        error=_error(rows, cell),
        test_auc=interval(list(auc.values())),
        test_log_loss=_over_seeds(finals, "test_log_loss"),
        best_validation_auc=_over_seeds(finals, "best_validation_auc"),
        difference=None if cell == FULL else paired_difference(auc, _by_seed(full_finals, "test_auc")),
        stored_bytes=_whole(first, "stored_bytes"),
        full_bytes=_whole(first, "full_bytes"),
        id_map_bytes=_whole(first, "id_map_bytes"),
        reached_compression=number_of(first, "reached_compression") if first else None,
        peak_memory_bytes=int(max(_by_seed(finals, "peak_memory_bytes").values(), default=0)) or None,
        seconds=_over_seeds(finals, "seconds"),
        steps_to_best=_over_seeds(finals, "steps_to_best"),
        iterations={text: beside_full(own, full_reached[text], ratio) for text, own in reached.items()},
        step_ms=step_ms,
        step_ratio=ratio,
    )


def _finals(rows: Sequence[Row], cell: Cell) -> list[Row]:
    own = [row for row in rows if cell_of(row) == cell and row["phase"] == "final" and not row["error"]]
    return sorted(own, key=lambda row: int(row["seed"]))


def _error(rows: Sequence[Row], cell: Cell) -> str:
    """What the finals, or else the tuning runs, ended with, if any of the first or all of the second did."""
    own = [row for row in rows if cell_of(row) == cell]
    finals = [row["error"] for row in own if row["phase"] == "final"]
    tuning = [row["error"] for row in own if row["phase"] == "tuning"]
    if finals:
        return next((error for error in finals if error), "")
    return tuning[0] if tuning and all(tuning) else ""


def _step(timing: Sequence[Row], cell: Cell) -> tuple[float | None, float | None]:
    """(milliseconds, ratio to full tables) of a training step; those of full tables are from all rows."""
    if cell == FULL:
        full = [float(row["full_ms"]) for row in timing]
        return (statistics.median(full), 1.0) if full else (None, None)
    own = [row for row in timing if cell_of(row) == cell]
    return (float(own[-1]["step_ms"]), float(own[-1]["ratio"])) if own else (None, None)


def _by_seed(rows: Sequence[Row], name: str) -> dict[int, float]:
    found = {int(row["seed"]): number_of(row, name) for row in rows}
    return {seed: value for seed, value in found.items() if value is not None and not math.isnan(value)}


def _over_seeds(rows: Sequence[Row], name: str) -> Interval | None:
    return interval(list(_by_seed(rows, name).values()))


def _whole(row: Row | None, name: str) -> int | None:
    value = number_of(row, name) if row else None
    return None if value is None else int(value)
