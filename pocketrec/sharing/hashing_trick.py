"""The hashing trick (Weinberger et al., ICML 2009): a shorter table, rows shared by the ids that hash to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pocketrec import hashing
from pocketrec.ops import FeatureLayout, Rule
from pocketrec.sharing.budget import Budget
from pocketrec.sharing.full import exact_rows
from pocketrec.sharing.scheme import Placement, Shared, one_piece
from pocketrec.sharing.shares import shares
from pocketrec.sharing.table import Table


@dataclass(frozen=True)
class HashingTrick(Shared):
    """row(x) = table[hash(x) mod m], m = min(n, the table's share of the budget) rows.

    Shares are equal, and what small tables leave over goes to the large ones: a table that fits is kept exactly, so
    only large tables pay. Stores the sum of m * D slots.
    """

    def place(self, tables: Sequence[Table], budget: Budget, seed: int) -> Placement:
        budget.require(sum(t.embedding_dim for t in tables), f"one row for each of {len(tables)} tables")
        layouts, base = [], 0
        for number, (table, num_rows) in enumerate(zip(tables, shares(tables, budget.slots), strict=True)):
            layouts.append(short_table(table, num_rows, base, hashing.mixing_key(seed, number)))
            base += num_rows * table.embedding_dim
        return one_piece(layouts, base)


def short_table(table: Table, num_rows: int, base: int, key: int, width: int | None = None) -> FeatureLayout:
    """A table of `num_rows` rows from slot `base` on: exact where that is all of them, else hashed under `key`."""
    layout = exact_rows(table, num_rows, base, width)
    if num_rows == table.num_embeddings:
        return layout
    return layout._replace(rule=Rule.MIXING, num_embeddings=table.id_limit, place_0=key)
