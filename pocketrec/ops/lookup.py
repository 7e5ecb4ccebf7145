"""The one op: hash, gather, weigh and pool all features of a batch, and its gradients.

`torch.ops.pocketrec.lookup` checks its arguments in its own body, then calls the fastest kernel there is. `lookup` is
what modules call: compiled or traced, the op; eager, a shorter way to the same functions, because the dispatcher's
layers of Python cost as much as thousands of rows. `lookup_row_sparse` (row_sparse.py) is the same lookup with a
row-sparse gradient, `lookup_deferred` (deferred.py) with one that waits for an optimiser fused with the backward.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pocketrec.ops import checks, reference
from pocketrec.ops.dispatch import check_backward, check_values, is_plain, kernel_for
from pocketrec.ops.library import BATCH, library

library.define(f"lookup(Tensor memory, {BATCH}, int width, str names='', Tensor? scales=None) -> Tensor")
library.define(f"lookup_backward(Tensor grad, Tensor memory, {BATCH}) -> Tensor")
library.define(
    "lookup_backward_weights(Tensor grad, Tensor memory, Tensor indices, Tensor? offsets, Tensor layout) -> Tensor"
)


def look_up(
    memory: Tensor,
    indices: Tensor,
    offsets: Tensor | None,
    weights: Tensor | None,
    layout: Tensor,
    width: int,
    names: str = "",
    scales: Tensor | None = None,
) -> Tensor:
    """The op's body: no gradient."""
    checks.check_tensors(memory, indices, offsets, weights, layout, scales)
    check_values(memory, indices, offsets, weights, layout, width, names)
    out: Tensor = kernel_for(memory).lookup(memory, indices, offsets, weights, layout, width, scales)
    return out


def _lookup_backward(
    grad: Tensor, memory: Tensor, indices: Tensor, offsets: Tensor | None, weights: Tensor | None, layout: Tensor
) -> Tensor:
    check_backward(grad, memory, indices, offsets, weights, layout)
    own: Tensor = kernel_for(memory).lookup_backward(grad.contiguous(), memory, indices, offsets, weights, layout)
    return own


def _lookup_backward_weights(
    grad: Tensor, memory: Tensor, indices: Tensor, offsets: Tensor | None, layout: Tensor
) -> Tensor:
    check_backward(grad, memory, indices, offsets, None, layout)
    own: Tensor = kernel_for(memory).lookup_backward_weights(grad.contiguous(), memory, indices, offsets, layout)
    return own.view(indices.shape)


for _name, _function in (
    ("lookup", look_up),
    ("lookup_backward", _lookup_backward),
    ("lookup_backward_weights", _lookup_backward_weights),
):
    library.impl(_name, _function, "CompositeExplicitAutograd")


@torch.library.register_fake("pocketrec::lookup", lib=library)
def _(
    memory: Tensor,
    indices: Tensor,
    offsets: Tensor | None,
    weights: Tensor | None,
    layout: Tensor,
    width: int,
    names: str = "",
    scales: Tensor | None = None,
) -> Tensor:
    like = memory if scales is None else scales
    return like.new_empty(reference.num_samples(indices, offsets, layout), width)


@torch.library.register_fake("pocketrec::lookup_backward", lib=library)
def _(
    grad: Tensor, memory: Tensor, indices: Tensor, offsets: Tensor | None, weights: Tensor | None, layout: Tensor
) -> Tensor:
    return memory.new_empty(memory.shape)


@torch.library.register_fake("pocketrec::lookup_backward_weights", lib=library)
def _(grad: Tensor, memory: Tensor, indices: Tensor, offsets: Tensor | None, layout: Tensor) -> Tensor:
    return memory.new_empty(indices.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor | None = None) -> None:
    ctx.save_for_backward(*inputs[:5])


def _gradients(ctx: Any, grad: Tensor, for_memory: Any, for_weights: Any) -> tuple[Tensor | None, ...]:
    memory, indices, offsets, weights, layout = ctx.saved_tensors
    grad_memory = grad_weights = None
    if ctx.needs_input_grad[0]:
        grad_memory = for_memory(grad, memory, indices, offsets, weights, layout)
    if ctx.needs_input_grad[3]:
        grad_weights = for_weights(grad, memory, indices, offsets, layout)
    return grad_memory, None, None, grad_weights, None, None, None, None


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return _gradients(ctx, grad, torch.ops.pocketrec.lookup_backward, torch.ops.pocketrec.lookup_backward_weights)


torch.library.register_autograd("pocketrec::lookup", _differentiate, setup_context=_save, lib=library)


def _refuse_twice(ctx: Any, grad: Tensor) -> Any:
    raise NotImplementedError("pocketrec lookups can be differentiated once, not twice, as torch's embedding_bag")


for _name in ("lookup_backward", "lookup_backward_weights"):
    torch.library.register_autograd(f"pocketrec::{_name}", _refuse_twice, lib=library)


class _Eager(torch.autograd.Function):
    # Without `setup_context`, for which torch binds the arguments anew in every call.
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        _save(ctx, inputs)
        return look_up(*inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled() or not is_plain(*grads):
            return _differentiate(ctx, grads[0])  # whose ops refuse to be differentiated again
        return _gradients(ctx, grads[0], _lookup_backward, _lookup_backward_weights)


def lookup(
    memory: Tensor,
    indices: Tensor,
    offsets: Tensor | None,
    weights: Tensor | None,
    layout: Tensor,
    width: int,
    names: str = "",
    scales: Tensor | None = None,
) -> Tensor:
    """Pooled rows of every feature, side by side: (B, width), differentiable in `memory` and `weights`.

    Args:
        memory: (M,) or any contiguous shape of M slots: float32, float64, bfloat16 or float16; or int8 with `scales`.
        indices: int64 ids: (B, F), one a feature, or (B, F, K), bags of K, where `offsets` is None; else (N,), all
            bags of feature 0, then all bags of feature 1, ...
        offsets: int64 (F*B + 1,), where each bag starts and, last, N; bag f*B + b belongs to feature f, sample b.
        weights: of the shape of `indices`, the dtype of the rows: multiplies each row of a sum. Under autocast,
            where it is often in half precision, it is converted.
        layout: int64 (F, 20), the rows of `FeatureLayout`.
        width: total output columns.
        names: features' names, one a line, for error messages.
        scales: float32 (ceil(M / 64),) of an int8 memory (see `quantize`); the rows are float32 then. No gradient.

    Raises:
        ValueError: an id outside its table, offsets that fall or do not span the ids, a wrong shape, dtype or device.

    Half precisions are summed in float32 and rounded once. Equivalent to: `pocketrec.ops.reference.lookup`.
    """
    weights = checks.prepare_weights(memory, indices, offsets, weights, layout, scales)
    if not is_plain(memory, indices, offsets, weights):
        checks.check_whole(memory)
        return torch.ops.pocketrec.lookup(memory, indices, offsets, weights, layout, width, names, scales)
    trains = torch.is_grad_enabled() and (memory.requires_grad or (weights is not None and weights.requires_grad))
    return (_Eager.apply if trains else look_up)(memory, indices, offsets, weights, layout, width, names, scales)
