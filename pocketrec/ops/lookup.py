"""The one op: hash, gather, weigh and pool all features of a batch, and its gradients.

`torch.ops.pocketrec.lookup` checks its arguments in its own body, then calls the C++ kernel, or the reference where
there is none. `lookup` wraps it; `lookup_row_sparse` is the same lookup whose gradient is row-sparse (full tables).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pocketrec import kernels
from pocketrec.ops import checks, reference
from pocketrec.ops.layout import FeatureLayout

_library = torch.library.Library("pocketrec", "DEF")
_BATCH = "Tensor indices, Tensor? offsets, Tensor? weights, Tensor layout"
_library.define(f"lookup(Tensor memory, {_BATCH}, int width, str names='') -> Tensor")
_library.define(f"lookup_backward(Tensor grad, Tensor memory, {_BATCH}) -> Tensor")
_library.define(
    "lookup_backward_weights(Tensor grad, Tensor memory, Tensor indices, Tensor? offsets, Tensor layout) -> Tensor"
)


def _kernel(memory: Tensor) -> Any:
    """The fastest implementation for this memory; each offers the functions of `reference`."""
    built_for = memory.device.type == "cpu" and memory.dtype in (torch.float32, torch.float64)
    return (kernels.cpu() if built_for else None) or reference


def _lookup(
    memory: Tensor,
    indices: Tensor,
    offsets: Tensor | None,
    weights: Tensor | None,
    layout: Tensor,
    width: int,
    names: str = "",
) -> Tensor:
    kernel = _kernel(memory)
    checks.check(kernel, memory, indices, offsets, weights, layout, width, names)
    return kernel.lookup(memory, indices, offsets, weights, layout, width)


def _lookup_backward(
    grad: Tensor, memory: Tensor, indices: Tensor, offsets: Tensor | None, weights: Tensor | None, layout: Tensor
) -> Tensor:
    return _kernel(memory).lookup_backward(grad.contiguous(), memory, indices, offsets, weights, layout)


def _lookup_backward_weights(
    grad: Tensor, memory: Tensor, indices: Tensor, offsets: Tensor | None, layout: Tensor
) -> Tensor:
    own = _kernel(memory).lookup_backward_weights(grad.contiguous(), memory, indices, offsets, layout)
    return own.view(indices.shape)


for _name, _function in (
    ("lookup", _lookup),
    ("lookup_backward", _lookup_backward),
    ("lookup_backward_weights", _lookup_backward_weights),
):
    _library.impl(_name, _function, "CompositeExplicitAutograd")


@torch.library.register_fake("pocketrec::lookup", lib=_library)
def _(
    memory: Tensor,
    indices: Tensor,
    offsets: Tensor | None,
    weights: Tensor | None,
    layout: Tensor,
    width: int,
    names: str = "",
) -> Tensor:
    return memory.new_empty(reference.num_samples(indices, offsets, layout), width)


@torch.library.register_fake("pocketrec::lookup_backward", lib=_library)
def _(
    grad: Tensor, memory: Tensor, indices: Tensor, offsets: Tensor | None, weights: Tensor | None, layout: Tensor
) -> Tensor:
    return memory.new_empty(memory.shape)


@torch.library.register_fake("pocketrec::lookup_backward_weights", lib=_library)
def _(grad: Tensor, memory: Tensor, indices: Tensor, offsets: Tensor | None, layout: Tensor) -> Tensor:
    return memory.new_empty(indices.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:5])


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    memory, indices, offsets, weights, layout = ctx.saved_tensors
    grad_memory = grad_weights = None
    if ctx.needs_input_grad[0]:
        grad_memory = torch.ops.pocketrec.lookup_backward(grad, memory, indices, offsets, weights, layout)
    if ctx.needs_input_grad[3]:
        grad_weights = torch.ops.pocketrec.lookup_backward_weights(grad, memory, indices, offsets, layout)
    return grad_memory, None, None, grad_weights, None, None, None


torch.library.register_autograd("pocketrec::lookup", _differentiate, setup_context=_save, lib=_library)


def _refuse_twice(ctx: Any, grad: Tensor) -> Any:
    raise NotImplementedError("pocketrec lookups can be differentiated once, not twice, as torch's embedding_bag")


for _name in ("lookup_backward", "lookup_backward_weights"):
    torch.library.register_autograd(f"pocketrec::{_name}", _refuse_twice, lib=_library)


def lookup(
    memory: Tensor,
    indices: Tensor,
    offsets: Tensor | None,
    weights: Tensor | None,
    layout: Tensor,
    width: int,
    names: str = "",
) -> Tensor:
    """Pooled rows of every feature, side by side: (B, width), differentiable in `memory` and `weights`.

    Args:
        memory: (M,) or any contiguous shape of M slots, floating point.
        indices: int64 ids: (B, F), one a feature, where `offsets` is None; else (N,), all bags of feature 0, then
            all bags of feature 1, ...
        offsets: int64 (F*B + 1,), where each bag starts and, last, N; bag f*B + b belongs to feature f, sample b.
        weights: of the shape of `indices` and the dtype of `memory`: multiplies each row of a sum.
        layout: int64 (F, 18), the rows of `FeatureLayout`.
        width: total output columns.
        names: features' names, one a line, for error messages.

    Raises:
        ValueError: an id outside its table, offsets that fall or do not span the ids, a wrong shape, dtype or device.

    Equivalent to: `pocketrec.ops.reference.lookup`.
    """
    checks.check_devices(memory, ids=indices, offsets=offsets, per_sample_weights=weights, layout=layout)
    return torch.ops.pocketrec.lookup(memory, indices, offsets, weights, layout, width, names)


class _RowSparse(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        table: Tensor,
        indices: Tensor,
        offsets: Tensor | None,
        weights: Tensor | None,
        layout: Tensor,
        width: int,
        names: str,
    ) -> Tensor:
        ctx.save_for_backward(table, indices, offsets, weights, layout)
        return torch.ops.pocketrec.lookup(table, indices, offsets, weights, layout, width, names)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad = grads[0].contiguous()
        table, indices, offsets, weights, layout = ctx.saved_tensors
        grad_table = grad_weights = None
        if ctx.needs_input_grad[0]:
            values = _kernel(table).lookup_backward_rows(grad, table, indices, offsets, weights, layout, table.shape[1])
            rows = _table_rows(indices, offsets, layout)
            grad_table = torch.sparse_coo_tensor(rows[None], values, table.shape, check_invariants=False)
        if ctx.needs_input_grad[3]:
            grad_weights = _lookup_backward_weights(grad, table, indices, offsets, layout)
        return grad_table, None, None, grad_weights, None, None, None


def _table_rows(indices: Tensor, offsets: Tensor | None, layout: Tensor) -> Tensor:
    """The row of the (R, D) table that serves each id, (N,), where all features are directly addressed."""
    base, dim = FeatureLayout._fields.index("base"), FeatureLayout._fields.index("dim")
    first_rows = layout[:, base] // layout[:, dim]
    if offsets is None:
        return (indices + first_rows).reshape(-1)
    samples = (offsets.numel() - 1) // max(len(layout), 1)
    lengths = offsets[::samples].diff() if samples else torch.zeros_like(first_rows)
    return indices + first_rows.repeat_interleave(lengths)


def lookup_row_sparse(
    table: Tensor,
    indices: Tensor,
    offsets: Tensor | None,
    weights: Tensor | None,
    layout: Tensor,
    width: int,
    names: str = "",
) -> Tensor:
    """`lookup` into an (R, D) table of directly addressed rows, with a row-sparse gradient (sparse COO, uncoalesced).

    A dense gradient would be as large as the tables. Arguments and errors as `lookup`.
    """
    checks.check_devices(table, ids=indices, offsets=offsets, per_sample_weights=weights, layout=layout)
    return _RowSparse.apply(table, indices, offsets, weights, layout, width, names)
