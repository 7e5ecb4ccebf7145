"""Checkpoints of the authors' embeddings, whose rows `Robe(hash="authors")` gives bit for bit.

Read: `HashedEmbeddingBag` (github.com/apd10/universal_memory_allocation, github.com/apd10/robez), whose array is
`hashed_weight`, and their CPU classes, whose array is `weight` beside three `helper_*`. Of both, `random_numbers` holds
the coefficients of the hash. A `RobezEmbedding` without helpers (github.com/apd10/dlrm, branch new-robez) places its
rows by another formula and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from pocketrec import hashing
from pocketrec.embedding.tables import SharedTables
from pocketrec.errors import UsageError
from pocketrec.sharing import Robe, Table

_COEFFICIENTS = [hashing.PRIME, hashing.AUTHORS_CONSTANT, hashing.AUTHORS_CHUNK, hashing.AUTHORS_ID]


@dataclass(frozen=True)
class _Module:
    """One of their modules: what a state dict holds of it."""

    name: str
    array: Tensor
    numbers: Tensor
    signature: Tensor | None
    block: Tensor | None
    """Of their CPU classes: the chunk of each element."""


@torch.no_grad()
def load_authors_(
    embeddings: SharedTables,
    state: Mapping[str, Tensor],
    prefix: str = "",
    *,
    val_offsets: Sequence[int] | None = None,
) -> None:
    """Take over the array of the authors' modules, in place; every row is then theirs, bit for bit.

    A state dict tells neither `val_offset` nor, but for CPU classes, `uma_chunk_size` and the number of rows: those are
    the caller's to know, and rows come out scrambled where they are wrong.

    Args:
        embeddings: built with `sharing=Robe(chunk_size=uma_chunk_size, hash="authors")`, as many slots as their array,
            and their tables in their order.
        state: a state dict that holds their modules.
        prefix: of their names in it, for example "emb_l." for the tables of their DLRM.
        val_offsets: what their modules were given, to be checked: the rows of all tables before each.

    Raises:
        UsageError: other embeddings, no such modules, another number of tables, another size, type, seed, chunk or
            width, arrays that differ, rows placed by a signature or with another `val_offset`.
    """
    modules = _modules_in(state, prefix)
    chunk_size = _check_embeddings(embeddings, len(modules), prefix, val_offsets)
    memory = embeddings.get_parameter("memory")
    for module, table in zip(modules, embeddings.tables, strict=True):
        _check_hash(module)
        _check_array(module, modules[0], memory)
        _check_chunks(module, table, chunk_size)
    memory.copy_(modules[0].array)


def _modules_in(state: Mapping[str, Tensor], prefix: str) -> list[_Module]:
    names = [key.removesuffix("random_numbers") for key in state if key.endswith("random_numbers")]
    found = []
    for name in (n for n in names if n.startswith(prefix)):
        on_cpu = name + "helper_E1sR" in state
        array = state.get(name + ("weight" if on_cpu else "hashed_weight"))
        if array is None:
            told = (
                f"{name or 'state'!r} lacks hashed_weight and helper_E1sR: a class that places rows by another formula"
            )
            raise UsageError(f"{told} than the authors' HashedEmbeddingBag made it, and it cannot be read")
        others = (state.get(name + key) for key in ("signature", "helper_Eidx_base"))
        found.append(_Module(name, array, state[name + "random_numbers"], *others))
    if not found:
        raise UsageError(f"state: no module of the authors' below prefix {prefix!r}, none has random_numbers there")
    return found


def _check_embeddings(embeddings: SharedTables, modules: int, prefix: str, val_offsets: Sequence[int] | None) -> int:
    """Their chunk size."""
    sharing = embeddings.sharing
    if not isinstance(sharing, Robe) or sharing.hash != "authors" or embeddings.scales is not None:
        wanted = "Robe(chunk_size=..., hash='authors') and a float memory"
        raise UsageError(f"embeddings: only {wanted} has the authors' rows, got {sharing}")
    if len(embeddings.tables) != modules:
        told = f"state holds {modules} of the authors' modules below prefix {prefix!r}, the embeddings"
        raise UsageError(f"{told} {len(embeddings.tables)} tables: they must be the same, in the same order")
    *firsts, _ = accumulate((t.num_embeddings or 0 for t in embeddings.tables), initial=0)
    if val_offsets is not None and list(val_offsets) != firsts:
        told = f"val_offsets must be the rows of all tables before each, {firsts}"
        raise UsageError(f"{told}, got {list(val_offsets)}: give the embeddings their tables, in their order")
    return sharing.chunk_size


def _check_hash(module: _Module) -> None:
    got = module.numbers[:4].tolist()
    if got != _COEFFICIENTS:
        told = f"{module.name}random_numbers: of another seed than 1024, which hash='authors' stands for"
        raise UsageError(f"{told}: they must start with {_COEFFICIENTS}, got {got}")
    if module.signature is not None and module.signature.any():
        raise UsageError(
            f"{module.name}signature: rows placed by their signatures (lma_hash) cannot be recovered by ids"
        )


def _check_array(module: _Module, first: _Module, memory: Tensor) -> None:
    if module.array.shape != memory.shape:
        told = f"the array of {module.name or 'state'!r} has shape {tuple(module.array.shape)}"
        raise UsageError(f"{told}, the memory {memory.numel()} slots: build it with memory_size={module.array.numel()}")
    if module.array.dtype != memory.dtype:
        told = f"the array of {module.name or 'state'!r} is {module.array.dtype}, the memory {memory.dtype}"
        raise UsageError(f"{told}: build it with dtype={module.array.dtype}")
    if module is not first and not torch.equal(module.array, first.array):
        told = f"{first.name!r} and {module.name!r} hold different arrays, as after a .to() of the authors' modules"
        raise UsageError(f"{told}: one memory cannot hold both")


def _check_chunks(module: _Module, table: Table, chunk_size: int) -> None:
    """What a CPU class tells beside: the width and the chunk, and that it knows no padding."""
    if module.block is None:
        return
    who, width = f"{module.name or 'state'!r}", len(module.block)
    if width != table.embedding_dim:
        raise UsageError(f"{who} has rows of width {width}, table {table.name!r} of {table.embedding_dim}")
    if not torch.equal(module.block.cpu(), torch.arange(width) // chunk_size):
        chunk = int((module.block == 0).sum())
        told = f"{who} has chunks of {chunk}, the embeddings of {chunk_size}"
        raise UsageError(f"{told}: build them with Robe(chunk_size={chunk}, hash='authors')")
    if table.padding_idx is not None:
        told = f"table {table.name!r}: the authors' CPU class has no padding_idx, and reads row {table.padding_idx}"
        raise UsageError(f"{told} like any other: leave it None")
