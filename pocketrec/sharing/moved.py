"""Buffers that several modules hold: moved one module after the other, they must not become several tensors.

PyTorch moves a parameter within itself, and makes a new tensor of a buffer.
"""

from __future__ import annotations

import weakref

from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

_became: WeakIdKeyDictionary = WeakIdKeyDictionary()


def moved(old: Tensor, new: Tensor) -> Tensor:
    """What `old` became for the first module that moved it, where that is as `new`; else `new`, which is remembered."""
    reference = _became.get(old)
    first = None if reference is None else reference()
    if first is not None and first is not old and (first.device, first.dtype) == (new.device, new.dtype):
        return first
    _became[old] = weakref.ref(new)
    return new
