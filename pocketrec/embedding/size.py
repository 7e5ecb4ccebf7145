"""How large the tables of a model are: stored, and in full."""

from __future__ import annotations

from torch import nn

from pocketrec.embedding.budget import full_table_bytes
from pocketrec.embedding.tables import owners_in


def stored_bytes(module: nn.Module) -> int:
    """Bytes a model keeps to recover its rows: the memories of its pocketrec embeddings, a tied one counted once.

    Id maps are counted apart.
    """
    stored: dict[int, int] = {}
    for owner in owners_in(module):
        stored |= owner.stored()
    return sum(stored.values())


def full_bytes(module: nn.Module) -> int | None:
    """Bytes of the virtual tables in float32, one row for every id; those of a tied memory are counted once.

    None where an open-ended table has no such size.
    """
    distinct = {frozenset(owner.stored()): owner for owner in owners_in(module)}
    return full_table_bytes([table for owner in distinct.values() for table in owner.tables])
