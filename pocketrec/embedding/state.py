"""State dicts of embeddings: what must agree before weights are taken over, and int4 two slots to a byte."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pocketrec import ops
from pocketrec.embedding.parts import Part
from pocketrec.ops.layout import to_tensor


def pack_saved(state: dict[str, Any], key: str) -> None:
    """A memory of int4, held as int8 for lookups, as it is stored."""
    state[key] = ops.pack(state[key])


def unpack_loaded(state: dict[str, Any], key: str, own: Tensor) -> None:
    """The inverse, where the packed memory is as long as it must be."""
    packed = state.get(key)
    if packed is not None and packed.dtype == torch.uint8 and len(packed) == -(-len(own) // 2):
        state[key] = ops.unpack(packed, len(own))


def disagreements(parts: Sequence[Part], own: dict[str, Tensor], state: dict[str, Any], prefix: str) -> list[str]:
    """Why these weights cannot be taken over; `own` are the module's tensors by name."""
    errors = []
    for part in parts:
        loaded = state.get(prefix + part.layout)
        if loaded is not None and not torch.equal(loaded.cpu(), to_tensor(part.rows)):
            errors.append(
                f"{prefix}{part.layout}: these weights were made with other tables, another sharing scheme, "
                "memory size or seed; build the module with the settings it was trained with"
            )
        values, own_type = state.get(prefix + part.parameter), own[part.parameter].dtype
        if values is not None and values.is_floating_point() != own_type.is_floating_point:
            errors.append(
                f"{prefix}{part.parameter}: weights of {values.dtype} for a memory of {own_type}: call quantize_ "
                "on a model that holds the float weights"
            )
    return errors
