"""TT-Rec: a table as the product of three short tables of matrices (Yin et al., MLSys 2021, arXiv 2101.11714)."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from pocketrec.errors import whole_number
from pocketrec.ops import FeatureLayout
from pocketrec.sharing.budget import Budget
from pocketrec.sharing.full import Full, exact_rows
from pocketrec.sharing.recovery import Recovery
from pocketrec.sharing.scheme import Placement, Shared
from pocketrec.sharing.shares import cheapest
from pocketrec.sharing.table import Table

LARGEST_RANK = 64
"""The paper's. An id reads rank^2 * D^(1/3) numbers, more than anyone waits for beyond it."""


@dataclass(frozen=True)
class TensorTrain(Shared):
    """row(x)[j1, j2, j3] = G1[x1][j1] @ G2[x2][:, j2] @ G3[x3][:, j3], (x1, x2, x3) the digits of x.

    n = n1 * n2 * n3 or a little more, D = d1 * d2 * d3; G1[x1] is (d1, r), G2[x2] (r, d2, r), G3[x3] (r, d3). Stores
    n1 * d1 * r + n2 * d2 * r^2 + n3 * d3 * r slots a table, or the n * D of its rows where that is no more; the least,
    of rank 1, is near 3 * (n * D)^(1/3).

    Args:
        rank: r, the same for all tables; None for the largest that fits, at most 64. What is left then keeps whole
            tables, those first for which that takes least.
    """

    rank: int | None = None

    def __post_init__(self) -> None:
        if self.rank is not None:
            whole_number("rank", self.rank, at_least=1)

    def place(self, tables: Sequence[Table], budget: Budget, seed: int) -> Placement:
        trains = self._trains(tables, budget)
        if not any(train.rank for train in trains):
            return Full().place(tables, budget, seed)
        pieces, bases, base = [], [], 0
        for table, train in zip(tables, trains, strict=True):
            bases.append(base)
            pieces.append(train.pieces(table, base))
            base += train.slots
        return Placement(tuple(pieces), base, _Product(trains, bases))

    def _trains(self, tables: Sequence[Table], budget: Budget) -> list[_Train]:
        whole = [_whole(t) for t in tables]

        def of_rank(rank: int) -> list[_Train]:
            ways = [(w, _of_rank(t, rank)) for t, w in zip(tables, whole, strict=True)]
            return [min(way, key=lambda train: train.slots) for way in ways]

        def slots(rank: int) -> int:
            return sum(train.slots for train in of_rank(rank))

        least = self.rank or 1
        budget.require(slots(least), f"tensor trains of rank {least}", 0)
        if self.rank is not None:
            return of_rank(self.rank)
        trains = of_rank(bisect_right(range(1, LARGEST_RANK + 1), budget.slots, key=slots))
        increments = [w.slots - t.slots for w, t in zip(whole, trains, strict=True)]
        kept = cheapest(increments, budget.slots - sum(t.slots for t in trains))
        return [w if keep else t for w, t, keep in zip(whole, trains, kept, strict=True)]


class _Train(NamedTuple):
    """How a table is factorised. One kept whole has rows (n, 1, 1), reads D numbers, and two that count for nothing."""

    rows: tuple[int, int, int]
    dims: tuple[int, int, int]
    rank: int
    """0 where the table is whole."""

    @property
    def widths(self) -> tuple[int, int, int]:
        (d1, d2, d3), r = self.dims, self.rank
        return (d1 * r, r * d2 * r, r * d3) if r else (d1 * d2 * d3, 1, 1)

    @property
    def slots(self) -> int:
        if not self.rank:
            return self.rows[0] * self.widths[0]
        return sum(n * w for n, w in zip(self.rows, self.widths, strict=True))

    def pieces(self, table: Table, base: int) -> tuple[FeatureLayout, ...]:
        layouts = []
        for n, width in zip(self.rows, self.widths, strict=True):
            layouts.append(exact_rows(table, n, base, width))
            base += n * width if self.rank else 0
        return tuple(layouts)


def _whole(table: Table) -> _Train:
    return _Train((table.known_rows("a tensor train"), 1, 1), _factors(table.embedding_dim), 0)


def _of_rank(table: Table, rank: int) -> _Train:
    n = table.num_embeddings or 1
    n1 = next(i for i in range(round(n ** (1 / 3)), n + 1) if i**3 >= n)
    n2 = math.isqrt(-(-n // n1) - 1) + 1
    return _Train((n1, n2, -(-n // (n1 * n2))), _factors(table.embedding_dim), rank)


def _factors(dim: int) -> tuple[int, int, int]:
    """The three nearest to each other; the smallest in the middle, where it costs most."""
    divisors = [a for a in range(1, dim + 1) if dim % a == 0]
    ways = [(a, b, dim // a // b) for a in divisors for b in divisors if dim // a % b == 0]
    least, middle, most = sorted(min(ways, key=lambda way: (sum(way), max(way))))
    return middle, least, most


class _Product(Recovery):
    splits, linear, combines, costly = 3, False, True, True
    second: Tensor
    third: Tensor

    def __init__(self, trains: Sequence[_Train], bases: Sequence[int]) -> None:
        super().__init__()
        self.trains, self.bases = tuple(trains), tuple(bases)
        for i, name in enumerate(("first", "second", "third")):
            self.constant(name, [train.rows[i] for train in trains])

    def translate(self, ids: Tensor, tables: Tensor) -> tuple[Tensor, Tensor | None]:
        n2, n3 = self.second[tables], self.third[tables]
        return torch.stack([ids // (n2 * n3), ids // n3 % n2, ids % n3], -1)[..., None], None

    def combine(self, pieces: Tensor, ids: Tensor | None, tables: Sequence[int]) -> Tensor:
        trains = [self.trains[t] for t in tables]
        cores = pieces.split([width for train in trains for width in train.widths], 1)
        return torch.cat([_row(train, *cores[3 * f : 3 * f + 3]) for f, train in enumerate(trains)], 1)

    @torch.no_grad()
    def reset(self, memory: Tensor | None, bound: float) -> None:
        """Cores start so large that their product is spread as widely as a row of another scheme."""
        super().reset(memory, bound)
        assert memory is not None
        for train, base in zip(self.trains, self.bases, strict=True):
            if train.rank:
                memory[base : base + train.slots].mul_((3 / (train.rank * bound**2)) ** (1 / 3))


def _row(train: _Train, first: Tensor, second: Tensor, third: Tensor) -> Tensor:
    """The cores of a row (n, d1 * r), (n, r * d2 * r), (n, r * d3) -> (n, D)."""
    (d1, d2, d3), r = train.dims, train.rank
    if not r:
        return first
    ahead = first.unflatten(1, (d1, r)) @ second.unflatten(1, (r, d2 * r))
    return (ahead.unflatten(2, (d2, r)).flatten(1, 2) @ third.unflatten(1, (r, d3))).flatten(1)
