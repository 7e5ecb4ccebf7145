"""A memory that may be written to before what was looked up in it is differentiated."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Unversioned(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, memory: Tensor) -> Tensor:
        return memory.data

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


def unversioned(memory: Tensor) -> Tensor:
    """The same slots, of which autograd does not notice that they are written to.

    For gradients that do not depend on values. A scheme whose map adapts moves rows while an earlier lookup of the same
    step still waits for its backward; autograd would refuse that for all, and should only for weights and maxima.
    """
    alias: Tensor = _Unversioned.apply(memory)
    return alias
