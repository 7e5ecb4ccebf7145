"""How large the tables of a model are: stored, and in full."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from pocketrec.embedding.tables import SharedTables

BYTES_PER_ELEMENT = 4  # full tables are counted in float32, as the paper does


def _owners(module: nn.Module) -> Iterator[SharedTables]:
    return (m for m in module.modules() if isinstance(m, SharedTables))


def stored_bytes(module: nn.Module) -> int:
    """Bytes a model keeps to recover its rows: the parameters of its pocketrec embeddings. Id maps count apart."""
    return sum(p.numel() * p.element_size() for owner in _owners(module) for p in owner.parameters(recurse=False))


def full_bytes(module: nn.Module) -> int | None:
    """Bytes of the virtual tables in float32, one row for every id; None where an open-ended table has no such size."""
    total = 0
    for owner in _owners(module):
        for table in owner.tables:
            if table.num_embeddings is None:
                return None
            total += table.num_embeddings * table.embedding_dim * BYTES_PER_ELEMENT
    return total
