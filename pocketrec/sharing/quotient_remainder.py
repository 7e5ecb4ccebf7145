"""Quotient-remainder: two short tables for a long one (Shi et al., KDD 2020, arXiv 1909.02107)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pocketrec.errors import UsageError, one_of, whole_number
from pocketrec.ops import FeatureLayout
from pocketrec.sharing.budget import Budget
from pocketrec.sharing.full import exact_rows
from pocketrec.sharing.recovery import Recovery
from pocketrec.sharing.scheme import Placement, Shared
from pocketrec.sharing.table import Table

OPERATIONS = ("concat", "add", "multiply")


@dataclass(frozen=True)
class QuotientRemainder(Shared):
    """row(x) = Q[x // c] combined with R[x mod c]: beside each other, added, or multiplied element by element.

    Every id has a pair of rows that no other id has. c, the collisions, is the smallest number that fits the budget,
    and the same for all tables but those for which fewer store less. Stores (ceil(n / c) + c) * D slots a table, half
    of that side by side; the least there can be is near 2 * sqrt(n) * D.

    Args:
        operation: "multiply" (the paper's best), "add" or "concat" (D must be even).
        collisions: c of all tables; None for the smallest that fits.
    """

    operation: str = "multiply"
    collisions: int | None = None

    def __post_init__(self) -> None:
        if self.collisions is not None:
            whole_number("collisions", self.collisions, at_least=1)
        one_of("operation", self.operation, OPERATIONS)

    def place(self, tables: Sequence[Table], budget: Budget, seed: int) -> Placement:
        for table in tables:
            self._check(table)
        collisions = self._collisions(tables, budget)
        base, pieces = 0, []
        for table, c in zip(tables, collisions, strict=True):
            layouts = self._pieces(table, c, base)
            pieces.append(layouts)
            base = max(layout.base + layout.span for layout in layouts)
        return Placement(tuple(pieces), base, _RECOVERIES[self.operation](tables, collisions))

    def _check(self, table: Table) -> None:
        table.known_rows("a quotient")
        if self.operation == "concat" and table.embedding_dim % 2:
            raise UsageError(
                f"table {table.name!r}: operation='concat' needs an even embedding_dim, got {table.embedding_dim}"
            )

    def _collisions(self, tables: Sequence[Table], budget: Budget) -> list[int]:
        """c of each table, at most the one that stores least; the smallest that fits, by bisection."""

        def of_each(c: int) -> list[int]:
            if self.collisions is not None:
                return [self.collisions] * len(tables)
            return [min(c, math.isqrt((t.num_embeddings or 1) - 1) + 1) for t in tables]

        def stored(c: int) -> int:
            return sum(self._slots(t, own) for t, own in zip(tables, of_each(c), strict=True))

        low, high = 1, max((of_each(1 << 62)), default=1)
        budget.require(stored(high), "the smallest quotient and remainder tables, near 2 * sqrt(n) rows", 0)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if stored(middle) <= budget.slots else (middle + 1, high)
        return of_each(low)

    def _slots(self, table: Table, c: int) -> int:
        return (_quotients(table, c) + c) * self._width(table)

    def _width(self, table: Table) -> int:
        return table.embedding_dim // (2 if self.operation == "concat" else 1)

    def _pieces(self, table: Table, c: int, base: int) -> tuple[FeatureLayout, ...]:
        width, quotients = self._width(table), _quotients(table, c)
        if self.operation == "add":
            return (exact_rows(table, quotients + c, base),)
        return exact_rows(table, quotients, base, width), exact_rows(table, c, base + quotients * width, width)


def _quotients(table: Table, c: int) -> int:
    return -(-(table.num_embeddings or 1) // c)


class _Recovery(Recovery):
    """ids -> (x // c, x mod c), in integers: float32 gets 16 % of 40 million quotients wrong."""

    collisions: Tensor
    quotients: Tensor

    def __init__(self, tables: Sequence[Table], collisions: Sequence[int]) -> None:
        super().__init__()
        self.constant("collisions", collisions)
        self.constant("quotients", [_quotients(t, c) for t, c in zip(tables, collisions, strict=True)])

    def parts(self, ids: Tensor, tables: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c = self.collisions[tables]
        return ids // c, ids % c, self.quotients[tables]


class _Concat(_Recovery):
    splits = 2

    def translate(self, ids: Tensor, tables: Tensor) -> tuple[Tensor, Tensor | None]:
        quotients, remainders, _ = self.parts(ids, tables)
        return torch.stack([quotients, remainders], -1)[..., None], None


class _Add(_Recovery):
    terms = 2

    def translate(self, ids: Tensor, tables: Tensor) -> tuple[Tensor, Tensor | None]:
        quotients, remainders, first_remainder = self.parts(ids, tables)
        return torch.stack([quotients, first_remainder + remainders], -1)[..., None, :], None


class _Multiply(_Concat):
    linear, combines = False, True

    def combine(self, pieces: Tensor, ids: Tensor | None, tables: Sequence[int]) -> Tensor:
        dims = [self.rows[self.table_numbers.index(t)].dim for t in tables]
        halves = pieces.split([d for d in dims for _ in range(2)], 1)
        return torch.cat([q * r for q, r in zip(halves[::2], halves[1::2], strict=True)], 1)

    @torch.no_grad()
    def reset(self, memory: Tensor | None, bound: float) -> None:
        """Factors start so large that their product is spread as widely as a row of another scheme."""
        super().reset(memory, bound)
        assert memory is not None
        memory.mul_(math.sqrt(math.sqrt(3) / bound))


_RECOVERIES = {"concat": _Concat, "add": _Add, "multiply": _Multiply}
