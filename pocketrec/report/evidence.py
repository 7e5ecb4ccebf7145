"""What the verdict, the tables and the figures all read: a study's cells, sorted for showing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from pocketrec.report.looks import Look, looks, name_of
from pocketrec.report.words import listed, times
from pocketrec.study import FULL, Cell, Curve, Reached, Study, Summary
from pocketrec.study.cell import cell_of


@dataclass(frozen=True)
class Evidence:
    """A study, and its summaries by kind."""

    study: Study

    @cached_property
    def summaries(self) -> list[Summary]:
        """Every cell with a row: full tables first."""
        return self.study.summaries()

    @property
    def full(self) -> Summary | None:
        """The full tables, once one of their final runs is there."""
        return next((s for s in self.summaries if s.cell == FULL and s.test_auc), None)

    @property
    def compressed(self) -> list[Summary]:
        """All other cells, failed and unfinished ones too."""
        return [s for s in self.summaries if s.cell != FULL]

    @property
    def measured(self) -> list[Summary]:
        """Those of them that have a final run."""
        return [s for s in self.compressed if s.test_auc]

    @cached_property
    def looks(self) -> dict[str, Look]:
        """Colour and marker by scheme, in the order of the rows."""
        return looks(list(dict.fromkeys(s.cell.scheme for s in self.compressed)))

    @property
    def compressions(self) -> list[float]:
        """Those measured, ascending."""
        return sorted({s.cell.compression for s in self.measured})

    @cached_property
    def unfinished(self) -> list[tuple[Cell, int, int]]:
        """(cell, final runs made, asked for) of those that `study.toml` asks for and that are still to come."""
        told = self.study.settings
        wanted = [Cell(word, float(x)) for x in told.get("compressions", ()) for word in told.get("schemes", ())]
        made = Counter(cell_of(row) for row in self.study.rows if row["phase"] == "final")
        failed = {s.cell for s in self.summaries if s.error}
        seeds = int(told.get("seeds", 0))
        return [(cell, made[cell], seeds) for cell in [FULL, *wanted] if made[cell] < seeds and cell not in failed]

    @property
    def synthetic(self) -> bool:
        """Whether the log's name says that `pocketrec synth` made it: nothing in a prepared log itself does."""
        return "synth" in str(self.study.settings.get("data", "")).lower()

    def of_scheme(self, scheme: str) -> list[Summary]:
        """The measured cells of a scheme, the largest model first."""
        return [s for s in self.measured if s.cell.scheme == scheme]

    def curves_of(self, summary: Summary) -> list[Curve]:
        """The learning curves of a cell's final runs."""
        return [self.study.curves[row["run"]] for row in summary.finals if row["run"] in self.study.curves]


def label(cell: Cell) -> str:
    """`ROBE at 100x`, `full tables`."""
    return name_of(cell.scheme) if cell == FULL else f"{name_of(cell.scheme)} at {times(cell.compression)}"


def labels(cells: Iterable[Cell]) -> str:
    """`ROBE at 10x and 100x, hashing trick at 10x`."""
    by_scheme: dict[str, list[str]] = {}
    for cell in cells:
        by_scheme.setdefault(cell.scheme, []).append(times(cell.compression))
    at = {scheme: "" if scheme == FULL.scheme else f" at {listed(found)}" for scheme, found in by_scheme.items()}
    return ", ".join(f"{name_of(scheme)}{where}" for scheme, where in at.items())


def inflation_bounds(own: Reached, full: Reached) -> tuple[float, float]:
    """The least and the greatest inflation of any seed that the evaluations allow, which lie some steps apart."""
    pairs = [seed for seed in own.each if own.each[seed] and full.each.get(seed)]
    least = [own.before.get(seed, 0) / (full.each[seed] or math.inf) for seed in pairs]
    most = [(own.each[seed] or 0) / full.before[seed] if full.before.get(seed) else math.inf for seed in pairs]
    return min(least, default=0.0), max(most, default=math.inf)


def inflation_by_seed(own: Reached, full: Reached) -> Sequence[float]:
    """Iteration inflation of each seed with which both cells reached the target."""
    pairs = [(own.each[seed], full.each.get(seed)) for seed in own.each]
    return [steps / full_steps for steps, full_steps in pairs if steps and full_steps]
