"""How tables of different sizes divide a budget: equal shares, and what small tables leave over goes to the large."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pocketrec import hashing
from pocketrec.sharing.table import Table


def shares(tables: Sequence[Table], slots: int, slots_a_row: Callable[[Table], int]) -> list[int]:
    """Rows of each table: one each; then the smallest choose first, each at most an equal part of what is left.

    A table that fits into its part gets all its rows, so only large tables pay.
    """
    rows = [1] * len(tables)
    slots -= sum(map(slots_a_row, tables))
    by_size = sorted(range(len(tables)), key=lambda i: _rows(tables[i]) * slots_a_row(tables[i]))
    for position, i in enumerate(by_size):
        share = slots // (len(tables) - position) // slots_a_row(tables[i])
        more = min(_rows(tables[i]) - 1, share)
        rows[i] += more
        slots -= more * slots_a_row(tables[i])
    return rows


def cheapest(increments: Sequence[float], room: float) -> list[bool]:
    """Which of the tables can have more, each so much, before `room` is used up: the smallest increments first."""
    chosen = [False] * len(increments)
    for i in sorted(range(len(increments)), key=lambda i: increments[i]):
        chosen[i] = increments[i] <= room
        room -= increments[i] if chosen[i] else 0
    return chosen


def _rows(table: Table) -> int:
    return table.num_embeddings or hashing.ID_LIMIT
