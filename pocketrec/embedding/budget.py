"""How many slots a memory gets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from pocketrec.errors import UsageError, whole_number
from pocketrec.sharing import Scheme, Table

FULL_ITEM_BYTES = 4  # full tables are counted in float32, as the paper does


def full_table_bytes(tables: Sequence[Table]) -> int | None:
    """Bytes of the virtual tables in float32; None where one is open-ended."""
    sizes = [None if t.num_embeddings is None else t.num_embeddings * t.embedding_dim for t in tables]
    known = [size for size in sizes if size is not None]
    return FULL_ITEM_BYTES * sum(known) if len(known) == len(sizes) else None


def slots_of(
    tables: Sequence[Table],
    sharing: Scheme,
    memory_size: int | None,
    compression: float | None,
    dtype: torch.dtype,
) -> int:
    """Slots of the memory; 0 for full tables, which have no budget.

    Compression counts bytes: a memory in half precision has twice the slots.

    Raises:
        UsageError: a budget that is missing, doubled or makes no sense.
    """
    if sharing.row_sparse:
        if memory_size is not None or compression not in (None, 1, 1.0):
            raise UsageError("full tables take no memory_size and no compression: they store every row")
        return 0
    if (memory_size is None) == (compression is None):
        raise UsageError("give either memory_size (slots) or compression (full / shared, at least 1)")
    if compression is None:
        return whole_number("memory_size", memory_size, at_least=1)
    if isinstance(compression, str) or not (math.isfinite(compression) and compression >= 1):
        raise UsageError(f"compression is full size / shared size, at least 1 (1000 for 1000x), got {compression!r}")
    full = full_table_bytes(tables)
    if full is None:
        name = next(t.name for t in tables if t.num_embeddings is None)
        raise UsageError(f"table {name!r} is open-ended, so there is nothing to compress from: give memory_size")
    return int(full / compression / dtype.itemsize)
