"""The hashing trick (Weinberger et al., ICML 2009): a shorter table, rows shared by the ids that hash to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pocketrec import hashing
from pocketrec.ops import FeatureLayout, Rule
from pocketrec.sharing.full import exact_rows
from pocketrec.sharing.scheme import check_budget
from pocketrec.sharing.table import Table


@dataclass(frozen=True)
class HashingTrick:
    """row(x) = table[hash(x) mod m], m = min(n, the table's share of the budget) rows.

    Shares are equal, and what small tables leave over goes to the large ones: a table that fits is kept exactly, so
    only large tables pay. Stores the sum of m * D slots.
    """

    @property
    def row_sparse(self) -> bool:
        return False

    def place(self, tables: Sequence[Table], memory_size: int, seed: int) -> tuple[list[FeatureLayout], int]:
        check_budget(memory_size, sum(t.embedding_dim for t in tables), f"one row for each of {len(tables)} tables")
        layouts, base = [], 0
        for number, (table, num_rows) in enumerate(zip(tables, _shares(tables, memory_size), strict=True)):
            layout = exact_rows(table, num_rows, base)
            if num_rows != table.num_embeddings:
                layout = layout._replace(rule=Rule.MIXING, place_0=hashing.mixing_key(seed, number))
            layouts.append(layout)
            base += num_rows * table.embedding_dim
        return layouts, base


def _shares(tables: Sequence[Table], memory_size: int) -> list[int]:
    """Rows of each table: one each; then the smallest choose first, each at most an equal part of what is left."""
    rows = [1] * len(tables)
    slots = memory_size - sum(t.embedding_dim for t in tables)
    by_size = sorted(range(len(tables)), key=lambda i: _full_slots(tables[i]))
    for position, i in enumerate(by_size):
        share = slots // (len(tables) - position) // tables[i].embedding_dim
        more = min((tables[i].num_embeddings or hashing.ID_LIMIT) - 1, share)
        rows[i] += more
        slots -= more * tables[i].embedding_dim
    return rows


def _full_slots(table: Table) -> int:
    return (table.num_embeddings or hashing.ID_LIMIT) * table.embedding_dim
