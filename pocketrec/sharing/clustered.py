"""Clustered compositional embeddings (Tsang & Ahle, NeurIPS 2023, arXiv 2210.05974): hash, train, cluster, repeat."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from pocketrec import hashing
from pocketrec.errors import UsageError, whole_number
from pocketrec.ops import FeatureLayout, Rule
from pocketrec.sharing.budget import Budget
from pocketrec.sharing.clusters import COUNTER_BYTES, Clusters, Pointed, pointer_type
from pocketrec.sharing.full import exact_rows
from pocketrec.sharing.scheme import Placement, Shared, one_piece
from pocketrec.sharing.table import Table

_MOST_CENTROIDS = 1 << 15
"""What pointers of two bytes reach; to compare every id with more would take too long."""


@dataclass(frozen=True)
class Clustered(Shared):
    """row(x) = C columns beside each other, each T_c[p_c(x)] + U_c[h_c(x)]: a centroid pointed to, and a hashed row.

    At first the pointers p are hashes too. `times` times, every `every` training batches, k-means clusters what each
    column has become: T takes the centroids, p points every id to its nearest, and U starts again at 0 under a new
    hash. An optimiser is not told: its momentum and sums of squares remain those of what the slots held before.
    Compiled training never clusters.

    Stores k centroids and at least as many hashed rows a column, of each table the same and as many as fit (k at most
    32,768), and C pointers an id, of one byte up to k = 256, else of two: so 4 * D / C is a compression it never
    reaches. Tables that take no more in full are kept exactly.

    Args:
        columns: C; pieces are D / C wide, some one wider.
        every: training batches from one clustering to the next.
        times: how often at most; 0 leaves the hashes as they are.
        sample: rows of a table that k-means sees (twice the centroids where that is more); all ids then take
            n * k * D multiplications.
    """

    columns: int = 4
    every: int = 500
    times: int = 3
    sample: int = 1 << 14

    def __post_init__(self) -> None:
        for name, least in (("columns", 1), ("every", 1), ("times", 0), ("sample", 1)):
            whole_number(name, getattr(self, name), at_least=least)

    def place(self, tables: Sequence[Table], budget: Budget, seed: int) -> Placement:
        for table in tables:
            self._check(table)
        k, m = self._sizes(tables, budget)
        exact = [self._is_exact(table, k, m, budget) for table in tables]
        rows = [table.id_limit if e else k + m for table, e in zip(tables, exact, strict=True)]
        *bases, slots = accumulate((r * t.embedding_dim for r, t in zip(rows, tables, strict=True)), initial=0)
        if all(exact):
            return one_piece([exact_rows(*each) for each in zip(tables, rows, bases, strict=True)], slots)
        pieces = [self._pieces(*each) for each in zip(tables, rows, bases, strict=True)]
        for number in (number for number, e in enumerate(exact) if not e):
            keys = [hashing.mixing_key(seed, number * self.columns + c) for c in range(self.columns)]
            pieces[number] = tuple(_hashed_beyond(k, *each) for each in zip(pieces[number], keys, strict=True))
        firsts = accumulate((0 if e else t.id_limit for t, e in zip(tables, exact, strict=True)), initial=0)
        pointed = [
            None if e else Pointed(first, table.id_limit, hashing.mixing_key(seed, number), own)
            for number, (table, e, first, own) in enumerate(zip(tables, exact, firsts, pieces, strict=False))
        ]
        return Placement(tuple(pieces), slots, Clusters(self, k, m, pointed))

    def _pieces(self, table: Table, rows: int, base: int) -> tuple[FeatureLayout, ...]:
        """`rows` rows of each column, column after column; the first columns are wider where D / C leaves a rest."""
        narrow, wider = divmod(table.embedding_dim, self.columns)
        widths = [narrow + (c < wider) for c in range(self.columns)]
        bases = accumulate((rows * w for w in widths), initial=base)
        return tuple(exact_rows(table, rows, b, w) for b, w in zip(bases, widths, strict=False))

    def _check(self, table: Table) -> None:
        table.known_rows("a pointer of every id")
        if table.embedding_dim < self.columns:
            raise UsageError(
                f"table {table.name!r}: columns={self.columns} needs an embedding_dim of at least that, got "
                f"{table.embedding_dim}"
            )

    def _sizes(self, tables: Sequence[Table], budget: Budget) -> tuple[int, int]:
        """k centroids, as many as fit with as many hashed rows; and m hashed rows, as many as then fit."""

        def too_many(k: int, m: int) -> bool:
            return not budget.holds(*self._stored(tables, k, m, budget))

        slots, weights = self._stored(tables, 1, 1, budget)
        budget.require(slots, "one centroid, and pointers of every id", weights)
        most = max(t.id_limit for t in tables)
        k = bisect_left(range(1, min(most, _MOST_CENTROIDS) + 1), True, key=lambda k: too_many(k, k))
        return k, k - 1 + bisect_left(range(k, most + 1), True, key=lambda m: too_many(k, m))

    def _stored(self, tables: Sequence[Table], k: int, m: int, budget: Budget) -> tuple[int, int]:
        """Slots, and how many learned weights take as much as the pointers."""
        exact = [self._is_exact(table, k, m, budget) for table in tables]
        slots = sum((t.id_limit if e else k + m) * t.embedding_dim for t, e in zip(tables, exact, strict=True))
        beside = sum(self._pointers(t, k) for t, e in zip(tables, exact, strict=True) if not e)
        beside += 0 if all(exact) else COUNTER_BYTES
        return slots, math.ceil(beside / budget.weight_bytes)

    def _is_exact(self, table: Table, k: int, m: int, budget: Budget) -> bool:
        saved = (table.id_limit - k - m) * table.embedding_dim * budget.slot_bytes
        return saved <= self._pointers(table, k)

    def _pointers(self, table: Table, k: int) -> int:
        return table.id_limit * self.columns * pointer_type(k).itemsize


def _hashed_beyond(k: int, column: FeatureLayout, key: int) -> FeatureLayout:
    """Ids below k keep their rows of a column; all others are hashed to the rows after those."""
    slots, rest = k * column.dim, column.places - k
    return column._replace(
        rule=Rule.MIXING,
        num_embeddings=hashing.ID_LIMIT,
        exact=k,
        exact_base=column.base,
        base=column.base + slots,
        span=column.span - slots,
        places=rest,
        place_0=key,
    )
