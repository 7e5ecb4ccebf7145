"""Memories in int8, for inference: a quarter of the bytes."""

from __future__ import annotations

from torch import nn

from pocketrec import ops
from pocketrec.embedding.tables import owners_in
from pocketrec.errors import UsageError


def quantize_(module: nn.Module) -> nn.Module:
    """Turn every hashed memory within `module` into int8 with a float32 scale for 64 slots, in place; returns it.

    `memory` becomes an int8 buffer beside the buffer `scales`; rows come out in float32. There is no way back and no
    gradient: keep the float model to train on.

    Raises:
        ValueError: no pocketrec embedding in `module`, full tables, int8 already, a memory with infinities or NaN.
    """
    owners = owners_in(module)
    if not owners:
        raise UsageError("module: holds no pocketrec embedding, so there is nothing to quantise")
    for owner in owners:
        if owner.sparse_gradients:
            raise UsageError("module: holds full tables, and only shared memories are quantised")
        if owner.scales is not None:
            raise UsageError("module: its memory is int8 already")
    memories = {id(owner.memory): owner.get_parameter("memory") for owner in owners}
    made = {key: ops.quantize(memory) for key, memory in memories.items()}
    for owner in owners:
        memory, scales = made[id(owner.memory)]
        del owner.memory
        owner.register_buffer("memory", memory)
        owner.register_buffer("scales", scales)
    return module
