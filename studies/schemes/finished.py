"""What the rows say of a cell: its runs over seeds at the settings chosen, or where its method ends."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from studies.schemes import cells
from studies.trials import WHOLE, Rows


@dataclass(frozen=True)
class Finished:
    """The runs of one cell at its chosen settings, over seeds."""

    method: cells.Method
    compression: int
    runs: Rows

    @property
    def told(self) -> str:
        """The settings, as rows have them."""
        return self.runs[0]["settings"]

    @property
    def settings(self) -> Mapping[str, Any]:
        """Flags of `pocketrec train`."""
        settings: dict[str, Any] = json.loads(self.told)
        return settings

    def mean(self, column: str) -> float:
        """Over seeds."""
        return statistics.fmean(float(run[column]) for run in self.runs)

    def spread(self, column: str) -> float:
        """Standard deviation of a seed."""
        return statistics.stdev(float(run[column]) for run in self.runs)


def finished(rows: Rows, method: cells.Method, compression: int) -> Finished | None:
    """The best settings on all rows, by validation with the first seed; None until every seed has run."""
    own = [row for row in _of_cell(rows, method, compression) if not row["error"]]
    tuned = [row for row in own if int(row["seed"]) == cells.SEEDS[0]]
    if not tuned:
        return None
    best = max(tuned, key=lambda row: float(row["best_validation_auc"]))
    runs = [row for row in own if row["settings"] == best["settings"]]
    return Finished(method, compression, runs) if len(runs) == len(cells.SEEDS) else None


def end(rows: Rows, method: cells.Method, compression: int) -> float | None:
    """The compression near which a method ends that cannot reach this one; None where it can, or has not been asked."""
    own = _of_cell(rows, method, compression)
    found = [re.search(r"ends near ([\d.]+)x", row["error"]) for row in own]
    reached = [float(match[1]) for match in found if match]
    return max(reached) if own and len(reached) == len(own) else None


def _of_cell(rows: Rows, method: cells.Method, compression: int) -> Rows:
    return [row for row in rows if row["cell"] == method.cell(compression) and row["log"] == WHOLE]
