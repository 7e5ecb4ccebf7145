"""The lookup whose gradient waits: backward keeps what it was given, and an optimiser fused with it reads it later."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pocketrec.ops import checks


class Batch(NamedTuple):
    """One backward's worth: the gradient (B, width) of a lookup's output, and what was looked up."""

    grad: Tensor
    indices: Tensor
    offsets: Tensor | None
    weights: Tensor | None
    layout: Tensor


class Waiting:
    """The batches that one memory has not been stepped by yet."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []


class _Deferred(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        memory: Tensor,
        indices: Tensor,
        offsets: Tensor | None,
        weights: Tensor | None,
        layout: Tensor,
        width: int,
        names: str,
        waiting: Waiting,
    ) -> Tensor:
        ctx.save_for_backward(memory, indices, offsets, weights, layout)
        ctx.waiting = waiting
        return torch.ops.pocketrec.lookup(memory, indices, offsets, weights, layout, width, names)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        memory, indices, offsets, weights, layout = ctx.saved_tensors
        grad = grads[0].contiguous()
        ctx.waiting.batches.append(Batch(grad, indices, offsets, weights, layout))
        grad_weights = None
        if ctx.needs_input_grad[3]:
            grad_weights = torch.ops.pocketrec.lookup_backward_weights(grad, memory, indices, offsets, layout)
        return None, None, None, grad_weights, None, None, None, None


def lookup_deferred(
    memory: Tensor,
    indices: Tensor,
    offsets: Tensor | None,
    weights: Tensor | None,
    layout: Tensor,
    width: int,
    names: str,
    waiting: Waiting,
) -> Tensor:
    """`lookup`, but backward adds a `Batch` to `waiting` and leaves `memory.grad` alone. Else as there."""
    checks.check_devices(memory, ids=indices, offsets=offsets, per_sample_weights=weights, layout=layout)
    out: Tensor = _Deferred.apply(memory, indices, offsets, weights, layout, width, names, waiting)
    return out
