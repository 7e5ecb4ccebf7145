"""How much of the tables can be measured on this machine."""

from __future__ import annotations

from collections.abc import Sequence

from pocketrec.errors import UsageError
from pocketrec.plan.machine import available_bytes
from pocketrec.plan.memory import ELEMENT_BYTES, STATE_BYTES

SHARE_OF_MEMORY = 4
"""At most this part of the available memory is taken by either side."""
MOST_BYTES = 2 << 30
"""And at most so much: far beyond any cache, and filled within seconds."""


def tables_that_fit(
    tables: Sequence[tuple[int, int]], slots: int, optimizer: str, room: int | None = None
) -> list[tuple[int, int]]:
    """(rows, D) of each table, the largest cut so that full tables and their state fit into `room` bytes.

    Raises UsageError where the memory, its gradient and its state do not: cut, it would not be the one planned for.
    """
    room = min(available_bytes() // SHARE_OF_MEMORY, MOST_BYTES) if room is None else room
    wanted = slots * (2 * ELEMENT_BYTES + STATE_BYTES[optimizer])
    if wanted > room:
        raise UsageError(
            f"calibrate: a memory of {slots:,} slots trains in {wanted:,} bytes, of which {room:,} may be used here: "
            "plan for less, or leave it out"
        )
    return capped(tables, room // (ELEMENT_BYTES + STATE_BYTES[optimizer]))


def capped(tables: Sequence[tuple[int, int]], elements: int) -> list[tuple[int, int]]:
    """The tables with as many rows at most as lets all have at most so many elements; each keeps a row."""
    low, high = 1, max(rows for rows, _ in tables)
    while low < high:
        cap = (low + high + 1) // 2
        fits = sum(min(rows, cap) * width for rows, width in tables) <= elements
        low, high = (cap, high) if fits else (low, cap - 1)
    return [(min(rows, low), width) for rows, width in tables]
