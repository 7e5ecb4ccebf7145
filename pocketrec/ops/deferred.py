"""The lookup whose gradient waits: backward keeps what it was given, and an optimiser fused with it reads it later."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pocketrec.errors import UsageError
from pocketrec.ops import checks
from pocketrec.ops.dispatch import is_plain
from pocketrec.ops.lookup import look_up


class Batch(NamedTuple):
    """One backward's worth: the gradient (B, width) of a lookup's output, and what was looked up."""

    grad: Tensor
    indices: Tensor
    offsets: Tensor | None
    weights: Tensor | None
    layout: Tensor

    def versions(self) -> tuple[int, ...]:
        """How often each tensor has been written to."""
        return tuple(-1 if tensor is None else tensor._version for tensor in self)


class Waiting:
    """The batches that one memory has not been stepped by yet. A class, so that modules can refer to it weakly."""

    def __init__(self) -> None:
        self._batches: list[tuple[Batch, tuple[int, ...]]] = []

    def add(self, batch: Batch) -> None:
        """Keep a batch, and remember how often its tensors have been written to."""
        self._batches.append((batch, batch.versions()))

    def clear(self) -> None:
        """Drop all."""
        self._batches = []

    def take(self) -> list[Batch]:
        """The batches, which wait no longer.

        Raises:
            UsageError: a tensor was written to since its backward; autograd would refuse it, too.
        """
        taken, self._batches = self._batches, []
        if any(batch.versions() != versions for batch, versions in taken):
            raise UsageError(
                "ids, offsets, weights or the output's gradient were changed in place between backward() and step(), "
                "which reads them: step the fused optimiser first, or give each batch tensors of its own"
            )
        return [batch for batch, _ in taken]


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
        read = look_up if is_plain(memory, indices, offsets, weights) else torch.ops.pocketrec.lookup
        return read(memory, indices, offsets, weights, layout, width, names)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        memory, indices, offsets, weights, layout = ctx.saved_tensors
        grad = grads[0].contiguous()
        ctx.waiting.add(Batch(grad, indices, offsets, weights, layout))
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
    weights = checks.prepare_weights(memory, indices, offsets, weights, layout, None)
    out: Tensor = _Deferred.apply(memory, indices, offsets, weights, layout, width, names, waiting)
    return out
