"""How much of a table that exists survives in a memory: read back from a sketch, or fitted as well as can be.

Both for elements that are independent, of mean 0 and equal variance: a table without structure. Errors are relative:
the root of the expected squared error over that of the table. They are why a shared memory is *trained*, not fitted.
"""

from __future__ import annotations

import math

from pocketrec.errors import whole_number


def expected_occupied_slots(elements: int, slots: int) -> float:
    """Slots that serve at least one element: M (1 - (1 - 1/M)^N). *Others*: balls in bins. Exact for Z = 1."""
    number = whole_number("elements", elements, at_least=1)
    if whole_number("slots", slots, at_least=1) == 1:
        return 1.0
    return -slots * math.expm1(number * math.log1p(-1 / slots))


def sketch_error(elements: int, slots: int, chunk_size: int = 1) -> float:
    """Of adding a table into a signed memory and reading it back: sqrt((N - Z) / M), about sqrt(compression).

    *Others*: count-sketch with one hash (Charikar et al., ICALP 2002), for Z = 1; *derived* for Z > 1. Above 1 it is
    worse than storing nothing.
    """
    number = whole_number("elements", elements, at_least=1)
    chunk = min(whole_number("chunk_size", chunk_size, at_least=1), number)
    return math.sqrt((number - chunk) / whole_number("slots", slots, at_least=chunk))


def least_squares_error(elements: int, slots: int) -> float:
    """Of the best memory for a given table (least squares: each slot the mean of its elements): sqrt(1 - occupied / N).

    *Derived*: the residual of projecting onto the range of R, whose rank is the number of slots in use. Never above 1,
    and near it from 10x on: a table without structure cannot be compressed by sharing.
    """
    return math.sqrt(max(0.0, 1 - expected_occupied_slots(elements, slots) / elements))
