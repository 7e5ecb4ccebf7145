"""The gradients that belong to ids, not to slots: to each id's weight, and to each id's own row (full tables)."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from pocketrec.kernels.cuda.backward import find_winners, load_grad
from pocketrec.kernels.cuda.bags import bounds, load_ids, load_table, load_weights, longest_bag, pool_factors, tile
from pocketrec.kernels.cuda.launch import accumulator, bags_of, batch_of, options, over_tiles, tile_shape
from pocketrec.kernels.cuda.row import COLUMN, DIM, MAX, MODE, elements_of, gather, lanes, load_feature, mask_of


@triton.jit(do_not_specialize=["num_samples", "num_features", "num_ids"])
def _lookup_backward_weights_kernel(
    out_ptr, grad_ptr, memory_ptr, indices_ptr, offsets_ptr, layout_ptr,
    num_samples, num_features, num_ids, width,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, ACC: tl.constexpr, BAGS: tl.constexpr,
):  # fmt: skip
    """out[i] = <grad of id i's bag, row of id i>; weights go with sums only."""
    number, samples = tile(num_features, ROWS)
    feature, table = load_feature(layout_ptr, number), load_table(layout_ptr, number)
    begin, end = bounds(offsets_ptr, number, samples, num_samples, num_features, num_ids, BAGS)
    longest = longest_bag(begin, end, BAGS)
    dim = tl.load(layout_ptr + number * 20 + DIM)
    column = tl.load(layout_ptr + number * 20 + COLUMN)
    for k in range(longest):
        inside = begin + k < end
        ids, kept = load_ids(indices_ptr, table, begin + k, inside)
        products = tl.zeros([ROWS], ACC)
        for start in range(0, dim, BLOCK):
            first = lanes(start, BLOCK, 1)
            values = gather(memory_ptr, memory_ptr, ids, kept, first, dim, feature, 1, False, False, ACC)
            products += tl.sum(
                tl.sum(values * load_grad(grad_ptr, samples, width, column, kept, first, dim, 1, ACC), 2), 1
            )
        tl.store(out_ptr + begin + k, products.to(out_ptr.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["num_samples", "num_features", "num_ids"])
def _lookup_backward_rows_kernel(
    out_ptr, grad_ptr, memory_ptr, indices_ptr, offsets_ptr, weights_ptr, layout_ptr,
    num_samples, num_features, num_ids, width, row_width,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, ACC: tl.constexpr, BAGS: tl.constexpr, WEIGHTED: tl.constexpr,
):  # fmt: skip
    """out[i] = the gradient of id i's own row, whatever memory it lies in."""
    number, samples = tile(num_features, ROWS)
    feature, table = load_feature(layout_ptr, number), load_table(layout_ptr, number)
    begin, end = bounds(offsets_ptr, number, samples, num_samples, num_features, num_ids, BAGS)
    longest = longest_bag(begin, end, BAGS)
    mode = tl.load(layout_ptr + number * 20 + MODE)
    dim = tl.load(layout_ptr + number * 20 + DIM)
    column = tl.load(layout_ptr + number * 20 + COLUMN)
    pool = pool_factors(indices_ptr, table, begin, end, longest, mode, ROWS, ACC, BAGS)
    for start in range(0, dim, BLOCK):
        first = lanes(start, BLOCK, BLOCK)
        grad = load_grad(grad_ptr, samples, width, column, samples < num_samples, first, dim, BLOCK, ACC)
        winner = tl.full([ROWS, 1, BLOCK], 0, tl.int32)
        if BAGS:
            if mode == MAX:
                winner = find_winners(
                    memory_ptr, indices_ptr, table, begin, end, longest, first, dim, feature,
                    ROWS, BLOCK, ACC, BLOCK,
                )  # fmt: skip
        for k in range(longest):
            inside = begin + k < end
            _, kept = load_ids(indices_ptr, table, begin + k, inside)
            factors = pool * load_weights(weights_ptr, begin + k, kept, ACC, WEIGHTED)
            counts = kept[:, None, None] & ((mode != MAX) | (winner == k)) if BAGS else kept[:, None, None]
            own = tl.where(counts, grad * factors[:, None, None], 0.0)
            to = ((begin + k) * row_width)[:, None, None] + elements_of(first, BLOCK)
            tl.store(out_ptr + to, own.to(out_ptr.dtype.element_ty), mask=mask_of(inside, first, dim, BLOCK, False))


def lookup_backward_weights(
    grad: Tensor, memory: Tensor, indices: Tensor, offsets: Tensor | None, layout: Tensor
) -> Tensor:
    """The gradient to each id's weight, (N,): its row times its bag's gradient. Weights go with sums only."""
    batch = batch_of(indices, offsets, layout, grad.shape[1])
    out = memory.new_zeros(batch.num_ids)
    over_tiles(
        _lookup_backward_weights_kernel,
        batch,
        out,
        grad,
        memory,
        indices,
        indices if offsets is None else offsets,
        layout,
        *batch,
        ACC=accumulator(memory.dtype),
        BAGS=bags_of(indices, offsets),
        **tile_shape(batch),
    )
    return out


def lookup_backward_rows(
    grad: Tensor,
    memory: Tensor,
    indices: Tensor,
    offsets: Tensor | None,
    weights: Tensor | None,
    layout: Tensor,
    dim: int,
) -> Tensor:
    """The gradient to each id's own row, (N, dim): the values of a row-sparse gradient."""
    batch = batch_of(indices, offsets, layout, grad.shape[1])
    out = memory.new_zeros(batch.num_ids, dim)
    over_tiles(
        _lookup_backward_rows_kernel,
        batch,
        out,
        grad,
        memory,
        indices,
        indices if offsets is None else offsets,
        memory if weights is None else weights,
        layout,
        *batch,
        dim,
        ACC=accumulator(memory.dtype),
        **options(indices, offsets, weights),
        **tile_shape(batch),
    )
    return out
