"""How many rows are worked on at once: so many that what is done once a block costs little, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

_LEAST_ELEMENTS = 1 << 22
_IN_CACHE = 1 << 20


def rows_at_once(width: int, slots: int = 0) -> int:
    """Of rows that take so many numbers each, beside a memory that is passed over once a block."""
    return max(1, max(_LEAST_ELEMENTS, slots) // max(1, width))


def rows_in_cache(width: int) -> int:
    """Of rows that take so many numbers each, with nothing to do once a block."""
    return max(1, _IN_CACHE // max(1, width))


def blocks_of_ids(n: int, rows: int, device: torch.device) -> Iterator[Tensor]:
    """0 to n - 1, at most so many at once."""
    for first in range(0, n, rows):
        yield torch.arange(first, min(first + rows, n), device=device)
