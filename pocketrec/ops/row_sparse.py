"""The lookup into full tables: rows of their own, and a gradient as sparse as the batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pocketrec.ops import checks
from pocketrec.ops.dispatch import is_plain, kernel_for
from pocketrec.ops.layout import FeatureLayout
from pocketrec.ops.lookup import look_up


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
        read = look_up if is_plain(table, indices, offsets, weights) else torch.ops.pocketrec.lookup
        return read(table, indices, offsets, weights, layout, width, names)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad = grads[0].contiguous()
        table, indices, offsets, weights, layout = ctx.saved_tensors
        grad_table = grad_weights = None
        if ctx.needs_input_grad[0]:
            values = kernel_for(table).lookup_backward_rows(
                grad, table, indices, offsets, weights, layout, table.shape[1]
            )
            rows = _table_rows(indices, offsets, layout)
            if _several_processes():
                grad_table = torch.zeros_like(table).index_add_(0, rows, values)
            else:
                grad_table = torch.sparse_coo_tensor(rows[None], values, table.shape, check_invariants=False)
        if ctx.needs_input_grad[3]:
            grad_weights = torch.ops.pocketrec.lookup_backward_weights(grad, table, indices, offsets, layout)
        return grad_table, None, None, grad_weights, None, None, None


def _several_processes() -> bool:
    distributed = torch.distributed
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


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

    A dense gradient would be as large as the tables. With several processes it is dense all the same, for those that
    add gradients up take no other (DistributedDataParallel does, but of torch's own modules only). `torch.compile`
    breaks its graph here: it compiles no sparse gradients. Arguments and errors as `lookup`.
    """
    checks.check_whole(table)
    weights = checks.prepare_weights(table, indices, offsets, weights, layout, None)
    return _RowSparse.apply(table, indices, offsets, weights, layout, width, names)
