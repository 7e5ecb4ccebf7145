"""How tables of different sizes divide a budget: equal shares, and what small tables leave over goes to the large."""

from __future__ import annotations

from collections.abc import Sequence

from pocketrec import hashing
from pocketrec.sharing.table import Table


def shares(tables: Sequence[Table], slots: int) -> list[int]:
    """Rows of each table: one each; then the smallest choose first, each at most an equal part of what is left.

    A table that fits into its part gets all its rows, so only large tables pay.
    """
    rows = [1] * len(tables)
    slots -= sum(t.embedding_dim for t in tables)
    by_size = sorted(range(len(tables)), key=lambda i: tables[i].id_limit * tables[i].embedding_dim)
    for position, i in enumerate(by_size):
        share = slots // (len(tables) - position) // tables[i].embedding_dim
        more = min(tables[i].id_limit - 1, share, hashing.SLOT_LIMIT - 2)
        rows[i] += more
        slots -= more * tables[i].embedding_dim
    return rows


def cheapest(increments: Sequence[float], room: float) -> list[bool]:
    """Which of the tables can have more, each so much, before `room` is used up: the smallest increments first."""
    chosen = [False] * len(increments)
    for i in sorted(range(len(increments)), key=lambda i: increments[i]):
        chosen[i] = increments[i] <= room
        room -= increments[i] if chosen[i] else 0
    return chosen
