"""Memories in integers, for inference: a quarter or an eighth of the bytes."""

from __future__ import annotations

from torch import nn

from pocketrec import ops
from pocketrec.embedding.tables import owners_in
from pocketrec.errors import UsageError


def quantize_(module: nn.Module, bits: int | None = None) -> nn.Module:
    """Turn every memory within `module` into integers with a float32 scale for 64 slots, in place; returns it.

    `memory` becomes an int8 buffer beside the buffer `scales`; rows come out in float32. There is no way back and no
    gradient: keep the float model to train on. Networks (`DeepHash`) and codes (`TransformCoding`) stay as they are.

    Args:
        module: holds pocketrec embeddings.
        bits: 8, or 4: the state_dict then holds two slots a byte. By default what a memory was trained for, else 8.

    Raises:
        ValueError: no pocketrec embedding in `module`, full tables, integers already, infinities or NaN.
    """
    if bits not in (None, 8, 4):
        raise UsageError(f"bits: must be 8 or 4, got {bits}")
    owners = owners_in(module)
    if not owners:
        raise UsageError("module: holds no pocketrec embedding, so there is nothing to quantise")
    for owner in owners:
        if owner.sparse_gradients:
            raise UsageError("module: holds full tables, and only shared memories are quantised")
        if owner.scales is not None:
            raise UsageError("module: its memory is in integers already")
    owners = [owner for owner in owners if hasattr(owner, "memory")]
    for owner in owners:
        owner.bits = bits or owner.bits or 8
    memories = {id(owner.memory): (owner.get_parameter("memory"), owner.bits) for owner in owners}
    made = {key: ops.quantize(memory, own or 8) for key, (memory, own) in memories.items()}
    for owner in owners:
        memory, scales = made[id(owner.memory)]
        del owner.memory
        owner.register_buffer("memory", memory)
        owner.register_buffer("scales", scales)
    return module
