"""Hash embeddings: k hashed rows, weighted by the id (Svenstrup et al., NeurIPS 2017, arXiv 1709.03933)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor, nn

from pocketrec import hashing
from pocketrec.errors import real_number, whole_number
from pocketrec.sharing.budget import Budget
from pocketrec.sharing.multi_hash import summed_tables
from pocketrec.sharing.scheme import Placement, Shared, one_piece
from pocketrec.sharing.shares import shares
from pocketrec.sharing.table import Table
from pocketrec.sharing.terms import Terms


@dataclass(frozen=True)
class HashEmbeddings(Shared):
    """row(x) = p(x)[1] * pool[h1(x)] + ... + p(x)[k] * pool[hk(x)], p(x) the learned importance weights of the id.

    Pools have m rows, as the hashing trick shares a budget out; small tables are kept exactly, without weights. One
    table of importance weights serves the others: a row of k an id where they all fit, else a hashed one. (The paper
    hashes the pool by the importance row, so that ids which share one share all; here they share the weights only.)
    Stores the sum of m * D slots, and k weights an importance row.

    Args:
        num_hashes: k, at least 2.
        importance: the part of the budget that importance weights take, at most; more than one row an id is useless.
    """

    num_hashes: int = 2
    importance: float = 0.25

    def __post_init__(self) -> None:
        whole_number("num_hashes", self.num_hashes, at_least=2)
        real_number("importance", self.importance, "(0, 1)")

    def place(self, tables: Sequence[Table], budget: Budget, seed: int) -> Placement:
        rows, weights = self._sizes(tables, budget)
        *bases, slots = accumulate((r * t.embedding_dim for r, t in zip(rows, tables, strict=True)), initial=0)
        layouts = summed_tables(tables, rows, bases, seed)
        if weights == 0:
            return one_piece(layouts, slots)
        return one_piece(layouts, slots, _Weighted(tables, rows, self.num_hashes, weights, seed))

    def _sizes(self, tables: Sequence[Table], budget: Budget) -> tuple[list[int], int]:
        """Rows of each pool, and of importance weights. What these have no use for, the pools get."""
        k, least = self.num_hashes, sum(t.embedding_dim for t in tables)
        budget.require(least, f"a row for each of {len(tables)} tables and {k} importance weights", k)
        rows = shares(tables, budget.slots)
        if not any(_hashed_rows(tables, rows)):
            return rows, 0
        row_bytes = k * budget.weight_bytes
        most = (budget.bytes - budget.bytes_of(least, 0)) / row_bytes
        weights = max(1, int(min(self.importance * budget.bytes / row_bytes, most)))
        for _ in range(2):
            rows = shares(tables, budget.after(weights * row_bytes).slots)
            weights = min(weights, sum(_hashed_rows(tables, rows)))
        return rows, weights


def _hashed_rows(tables: Sequence[Table], rows: Sequence[int]) -> list[int]:
    """Rows of each table, none where it is exact."""
    sizes = [t.id_limit for t in tables]
    return [0 if m == n else n for m, n in zip(rows, sizes, strict=True)]


class _Weighted(Terms):
    """An id's importance row is factor * id + constant: where each has its own, factors are 1; else hashed to a row."""

    factors: Tensor
    constants: Tensor

    def __init__(self, tables: Sequence[Table], rows: Sequence[int], num_hashes: int, weights: int, seed: int) -> None:
        hashed = _hashed_rows(tables, rows)
        super().__init__(num_hashes, [n == 0 for n in hashed])
        self.own_rows = weights == sum(hashed)
        if self.own_rows:
            factors, constants = [int(n > 0) for n in hashed], list(accumulate(hashed, initial=0))[:-1]
            constants = [c if n else 0 for c, n in zip(constants, hashed, strict=True)]
        else:
            factors = [hashing.mixing_key(seed, -1 - 2 * number) | 1 for number in range(len(hashed))]
            constants = [hashing.mixing_key(seed, -2 - 2 * number) for number in range(len(hashed))]
        self.constant("factors", factors)
        self.constant("constants", constants)
        self.importance = nn.Parameter(torch.empty(weights, num_hashes))

    def translate(self, ids: Tensor, tables: Tensor) -> tuple[Tensor, Tensor | None]:
        pieces, _ = super().translate(ids, tables)
        factors = torch.embedding(self.importance, self._rows(ids, tables))
        if self.some_exact:
            factors = torch.where(self.alone[tables][..., None], 1, factors)
        return pieces, factors[..., None, :]

    def _rows(self, ids: Tensor, tables: Tensor) -> Tensor:
        factors, constants = self.factors[tables], self.constants[tables]
        if self.own_rows:
            return ids * factors + constants
        return hashing.multiply_shift(ids, factors, constants, len(self.importance))

    @torch.no_grad()
    def reset(self, memory: Tensor | None, bound: float) -> None:
        """All weights start equal, such that a sum is spread as widely as a row of the pool."""
        super().reset(memory, bound)
        self.importance.fill_(1 / math.sqrt(self.terms))
