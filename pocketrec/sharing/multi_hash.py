"""Multi-hash: k rows of one short table, added or side by side, stand for a row of a long one.

Added, they are Bloom embeddings (Serra & Karatzoglou, RecSys 2017, arXiv 1706.03993).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from pocketrec import hashing
from pocketrec.errors import UsageError, one_of, whole_number
from pocketrec.ops import FeatureLayout
from pocketrec.sharing.budget import Budget
from pocketrec.sharing.hashing_trick import short_table
from pocketrec.sharing.recovery import Recovery
from pocketrec.sharing.scheme import Placement, Shared, one_piece
from pocketrec.sharing.shares import shares
from pocketrec.sharing.table import Table
from pocketrec.sharing.terms import Terms

OPERATIONS = ("sum", "concat")


@dataclass(frozen=True)
class MultiHash(Shared):
    """row(x) = T[h1(x)] + ... + T[hk(x)], or T1[h1(x)], ..., Tk[hk(x)] side by side, each D / k wide.

    Ids that meet under one hash hardly meet under all, so most have a row that no other id has. Tables have m rows, as
    the hashing trick shares the budget out: small ones are kept exactly. Stores the sum of m * D slots.

    Args:
        num_hashes: k, at least 2.
        operation: "sum" of k rows of one table, or "concat" of a piece from each of k (the first ones wider where
            D / k leaves a rest).
    """

    num_hashes: int = 2
    operation: str = "sum"

    def __post_init__(self) -> None:
        whole_number("num_hashes", self.num_hashes, at_least=2)
        one_of("operation", self.operation, OPERATIONS)

    def place(self, tables: Sequence[Table], budget: Budget, seed: int) -> Placement:
        budget.require(sum(t.embedding_dim for t in tables), f"one row for each of {len(tables)} tables")
        rows = shares(tables, budget.slots)
        *bases, slots = accumulate((r * t.embedding_dim for r, t in zip(rows, tables, strict=True)), initial=0)
        exact = [r == t.num_embeddings for r, t in zip(rows, tables, strict=True)]
        if self.operation == "concat":
            pieces = [self._columns(*each, seed) for each in zip(tables, rows, bases, range(len(rows)), strict=True)]
            return Placement(tuple(pieces), slots, _Concat(self.num_hashes))
        layouts = summed_tables(tables, rows, bases, seed)
        if all(exact):
            return one_piece(layouts, slots)
        summed = [slice(f.base, f.base + f.span) for f, e in zip(layouts, exact, strict=True) if not e]
        return one_piece(layouts, slots, Terms(self.num_hashes, exact, summed))

    def _columns(self, table: Table, rows: int, base: int, number: int, seed: int) -> tuple[FeatureLayout, ...]:
        k = self.num_hashes
        if table.embedding_dim < k:
            raise UsageError(
                f"table {table.name!r}: operation='concat' needs an embedding_dim of at least num_hashes={k}, got "
                f"{table.embedding_dim}"
            )
        narrow, wider = divmod(table.embedding_dim, k)
        widths = [narrow + (j < wider) for j in range(k)]
        bases = accumulate((rows * w for w in widths), initial=base)
        keys = [hashing.mixing_key(seed, number * k + j) for j in range(k)]
        return tuple(short_table(table, rows, b, key, w) for b, key, w in zip(bases, keys, widths, strict=False))


def summed_tables(tables: Sequence[Table], rows: Sequence[int], bases: Sequence[int], seed: int) -> list[FeatureLayout]:
    """Short tables for the ids of `Terms`, which are any below 2^62 where the table is not exact."""
    layouts = []
    for number, (table, m, base) in enumerate(zip(tables, rows, bases, strict=True)):
        layout = short_table(table, m, base, hashing.mixing_key(seed, number))
        exact = m == table.num_embeddings
        layouts.append(layout if exact else layout._replace(num_embeddings=hashing.ID_LIMIT))
    return layouts


class _Concat(Recovery):
    """Every piece reads the id itself, under a hash of its own."""

    def __init__(self, num_hashes: int) -> None:
        super().__init__()
        self.splits = num_hashes
