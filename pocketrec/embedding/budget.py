"""How much a scheme may store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from pocketrec.errors import UsageError, real_number, whole_number
from pocketrec.ops.layout import SCALE_BLOCK
from pocketrec.sharing import Budget, Scheme, Table

INTEGER_BITS = {torch.int8: 8, torch.int4: 4}  # type: ignore[attr-defined]
"""Types a memory may be served in, and trained for."""
FULL_ITEM_BYTES = 4  # full tables are counted in float32, as the paper does


def full_table_bytes(tables: Sequence[Table]) -> int | None:
    """Bytes of the virtual tables in float32; None where one is open-ended."""
    sizes = [None if t.num_embeddings is None else t.num_embeddings * t.embedding_dim for t in tables]
    known = [size for size in sizes if size is not None]
    return FULL_ITEM_BYTES * sum(known) if len(known) == len(sizes) else None


def slot_bytes(dtype: torch.dtype | None) -> float:
    """What a slot takes; of integers with its part of a scale."""
    if dtype in INTEGER_BITS:
        return INTEGER_BITS[dtype] / 8 + 4 / SCALE_BLOCK
    return (dtype or torch.get_default_dtype()).itemsize


def budget_of(
    tables: Sequence[Table],
    sharing: Scheme,
    of_slot: float,
    *,
    memory_size: int | None,
    memory_bytes: int | None,
    compression: float | None,
) -> Budget:
    """What may be stored; nothing for full tables, which have no budget.

    Bytes and compression count bytes: a memory in half precision has twice the slots.

    Raises:
        UsageError: a budget that is missing, doubled or makes no sense.
    """
    given = [value for value in (memory_size, memory_bytes, compression) if value is not None]
    if sharing.row_sparse:
        if memory_size is not None or memory_bytes is not None or compression not in (None, 1, 1.0):
            raise UsageError("full tables take no memory_size, memory_bytes or compression: they store every row")
        return Budget(0, of_slot)
    if len(given) != 1:
        raise UsageError("give one of memory_size (slots), memory_bytes and compression (full / shared, at least 1)")
    full = full_table_bytes(tables)
    if memory_size is not None:
        return Budget(whole_number("memory_size", memory_size, at_least=1), of_slot, full)
    if memory_bytes is not None:
        room: float = whole_number("memory_bytes", memory_bytes, at_least=1)
    else:
        room = _compressed_bytes(tables, compression)
    return replace(Budget.of_bytes(room, of_slot), full_bytes=full)


def check_compression(compression: Any) -> float:
    """Raises UsageError for anything but a finite number of at least 1."""
    return real_number("compression, full size / shared size,", compression, "[1, inf)")


def _compressed_bytes(tables: Sequence[Table], compression: float | None) -> float:
    compression = check_compression(compression)
    full = full_table_bytes(tables)
    if full is None:
        name = next(t.name for t in tables if t.num_embeddings is None)
        raise UsageError(f"table {name!r} is open-ended, so there is nothing to compress from: give memory_size")
    return full / compression
