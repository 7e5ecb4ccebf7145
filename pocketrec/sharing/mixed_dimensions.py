"""Mixed dimensions: popular rows are wide, rare ones narrow and projected (Ginart et al., arXiv 1909.11810)."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from pocketrec.errors import real_number, true_or_false
from pocketrec.sharing.budget import Budget
from pocketrec.sharing.projection import projected, stored, useful
from pocketrec.sharing.scheme import Placement, Shared
from pocketrec.sharing.table import Table

_STEPS = 256
"""Scales tried between two powers of two."""


@dataclass(frozen=True)
class MixedDimensions(Shared):
    """row(x) = A[x] @ P, rows of A as wide as their table is popular: d = scale * popularity ** temperature.

    A row's popularity is taken as 1 / n, its table's use spread evenly over it. The scale is the largest that fits;
    widths are rounded, at least 1 and at most D. Stores (n + D) * d numbers a table, n * D where that is no more; the
    least is d = 1 everywhere, near D times smaller than the full tables.

    Args:
        temperature: the paper's alpha, in [0, 1]; 0 makes all tables equally wide.
        powers_of_two: round widths to powers of two.
    """

    temperature: float = 0.3
    powers_of_two: bool = False

    def __post_init__(self) -> None:
        real_number("temperature", self.temperature, "[0, 1]")
        true_or_false("powers_of_two", self.powers_of_two)

    def place(self, tables: Sequence[Table], budget: Budget, seed: int) -> Placement:
        rows = [t.known_rows("a mixed dimension") for t in tables]

        def too_large(step: int) -> bool:
            return not budget.holds(*stored(tables, self._widths(tables, 2 ** (step / _STEPS), budget)))

        slots, weights = stored(tables, self._widths(tables, 1, budget))
        budget.require(slots, "rows of width 1", weights)
        # From this scale on, every row is whole.
        largest = max(math.log2(2 * t.embedding_dim * n**self.temperature) for t, n in zip(tables, rows, strict=True))
        steps = range(math.ceil(largest * _STEPS) + 1)
        step = bisect_right(steps, False, key=too_large) - 1
        return projected(tables, self._widths(tables, 2 ** (step / _STEPS), budget), rows, seed)

    def _widths(self, tables: Sequence[Table], scale: float, budget: Budget) -> list[int]:
        wanted = [max(1.0, scale * (t.num_embeddings or 1) ** -self.temperature) for t in tables]
        if self.powers_of_two:
            wanted = [2.0 ** round(math.log2(d)) for d in wanted]
        return [useful(t, round(d), budget) for t, d in zip(tables, wanted, strict=True)]
