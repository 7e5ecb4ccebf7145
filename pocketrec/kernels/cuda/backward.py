"""The gradient to the memory: every program adds its tile's contributions to the int64 sums of fixed_point.py.

Two kernels: the first finds the largest contribution, which sets the quantum; the second adds. Both walk the batch as
the forward does. Lanes are never 16 bytes wide here: atomics go one element a thread, and neighbouring threads
should hit neighbouring slots.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from pocketrec.kernels.cuda.bags import (
    beats,
    bounds,
    load_ids,
    load_table,
    load_weights,
    longest_bag,
    pool_factors,
    run_of_tiles,
)
from pocketrec.kernels.cuda.fixed_point import (
    _from_quanta_kernel,
    quanta_per_unit,
    raise_largest,
    resolution,
    size_bits,
    to_quanta,
)
from pocketrec.kernels.cuda.launch import (
    accumulator,
    bags_of,
    batch_of,
    elements,
    options,
    over_runs,
    over_slots,
    registers,
    tile_shape,
)  # fmt: skip
from pocketrec.kernels.cuda.row import (
    COLUMN,
    DIM,
    LANE,
    MAX,
    MODE,
    gather,
    is_in_lanes,
    is_one_chunk,
    lanes,
    load_feature,
    locate,
    mask_of,
    signed,
)  # fmt: skip


@triton.jit
def load_grad(
    grad_ptr, samples, width, column, exists, first, dim,
    V: tl.constexpr, ACC: tl.constexpr, VECTOR: tl.constexpr = False,
):  # fmt: skip
    """The output gradient of a tile, [R, G, V] in ACC; 0 for samples that do not exist."""
    places = (samples * width + column)[:, None, None] + first[None, :, None]
    if VECTOR:
        places = tl.multiple_of(places, (V, V, V))
    places += tl.arange(0, V)[None, None, :]
    return tl.load(grad_ptr + places, mask=mask_of(exists, first, dim, V, VECTOR), other=0.0).to(ACC)


@triton.jit
def find_winners(
    memory_ptr, indices_ptr, table, begin, end, longest, first, dim, feature,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, ACC: tl.constexpr, V: tl.constexpr,
):  # fmt: skip
    """Which id of its bag (0, 1, ...) gave each element of a maximum, int32 [R, G, V]; -1 where none did."""
    best = tl.zeros([ROWS, BLOCK // V, V], ACC)
    winner = tl.full([ROWS, BLOCK // V, V], -1, tl.int32)
    seen = tl.zeros([ROWS], tl.int32)
    for k in range(longest):
        ids, kept = load_ids(indices_ptr, table, begin + k, begin + k < end)
        values = gather(memory_ptr, memory_ptr, ids, kept, first, dim, feature, V, False, False, ACC)
        better = kept[:, None, None] & beats(values, best, seen)
        best = tl.where(better, values, best)
        winner = tl.where(better, (tl.zeros_like(winner) + k).to(tl.int32), winner)
        seen += kept.to(tl.int32)
    return winner


@triton.jit
def _greatest_factor(
    indices_ptr, weights_ptr, table, begin, end, longest, mode,
    ROWS: tl.constexpr, ACC: tl.constexpr, BAGS: tl.constexpr, WEIGHTED: tl.constexpr,
):  # fmt: skip
    """What each bag's gradient is multiplied by at most, in ACC [R], and which bags hold an id that counts."""
    greatest = tl.zeros([ROWS], ACC)
    counted = tl.zeros([ROWS], tl.int32)
    for k in range(longest):
        _, kept = load_ids(indices_ptr, table, begin + k, begin + k < end)
        weights = tl.abs(load_weights(weights_ptr, begin + k, kept, ACC, WEIGHTED))
        greatest = tl.where((weights > greatest) | (weights != weights), weights, greatest)
        counted += kept.to(tl.int32)
    return greatest * pool_factors(indices_ptr, table, begin, end, longest, mode, ROWS, ACC, BAGS), counted > 0


@triton.jit
def _largest_of_tiles(
    sums_ptr, grad_ptr, indices_ptr, offsets_ptr, weights_ptr, layout_ptr, number, first_sample, tiles,
    num_samples, num_features, num_ids, width,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, ACC: tl.constexpr, BAGS: tl.constexpr, WEIGHTED: tl.constexpr,
    V: tl.constexpr, VECTOR: tl.constexpr,
):  # fmt: skip
    table, mode = load_table(layout_ptr, number), tl.load(layout_ptr + number * 20 + MODE)
    dim = tl.load(layout_ptr + number * 20 + DIM)
    column = tl.load(layout_ptr + number * 20 + COLUMN)
    sizes = size_bits(tl.zeros([ROWS, BLOCK // V, V], ACC), ACC)
    for turn in range(tiles):
        samples = first_sample + turn * ROWS + tl.arange(0, ROWS)
        begin, end = bounds(offsets_ptr, number, samples, num_samples, num_features, num_ids, BAGS)
        factors, counted = _greatest_factor(
            indices_ptr, weights_ptr, table, begin, end, longest_bag(begin, end, BAGS), mode, ROWS, ACC, BAGS, WEIGHTED
        )
        for start in range(0, dim, BLOCK):
            grad = load_grad(grad_ptr, samples, width, column, counted, lanes(start, BLOCK, V), dim, V, ACC, VECTOR)
            sizes = tl.maximum(sizes, size_bits(grad * factors[:, None, None], ACC))
    raise_largest(sums_ptr, sizes, ACC)


@triton.jit(do_not_specialize=["num_samples", "num_features", "num_ids", "tiles"])
def _largest_kernel(
    sums_ptr, grad_ptr, indices_ptr, offsets_ptr, weights_ptr, layout_ptr, num_slots,
    num_samples, num_features, num_ids, width, tiles,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, ACC: tl.constexpr, BAGS: tl.constexpr, WEIGHTED: tl.constexpr,
):  # fmt: skip
    """sums[M] = the greatest |gradient * factor| of any id that counts; those of empty bags and padding do not."""
    number, first_sample = run_of_tiles(num_features, tiles, ROWS)
    if is_in_lanes(layout_ptr, number, width):
        _largest_of_tiles(
            sums_ptr + num_slots, grad_ptr, indices_ptr, offsets_ptr, weights_ptr, layout_ptr, number, first_sample,
            tiles, num_samples, num_features, num_ids, width, ROWS, BLOCK, ACC, BAGS, WEIGHTED, LANE, True,
        )  # fmt: skip
    else:
        _largest_of_tiles(
            sums_ptr + num_slots, grad_ptr, indices_ptr, offsets_ptr, weights_ptr, layout_ptr, number, first_sample,
            tiles, num_samples, num_features, num_ids, width, ROWS, BLOCK, ACC, BAGS, WEIGHTED, BLOCK, False,
        )  # fmt: skip


@triton.jit
def _add_tiles(
    sums_ptr, grad_ptr, memory_ptr, indices_ptr, offsets_ptr, weights_ptr, layout_ptr, number, first_sample, tiles,
    num_slots, num_samples, num_features, num_ids, width, bits, feature, table,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, ACC: tl.constexpr, BAGS: tl.constexpr, WEIGHTED: tl.constexpr,
    V: tl.constexpr,
):  # fmt: skip
    dim = tl.load(layout_ptr + number * 20 + DIM)
    column = tl.load(layout_ptr + number * 20 + COLUMN)
    mode = tl.load(layout_ptr + number * 20 + MODE)
    per_unit = quanta_per_unit(sums_ptr + num_slots, bits)
    for start in range(0, dim, BLOCK):
        first = lanes(start, BLOCK, V)
        for turn in range(tiles):
            samples = first_sample + turn * ROWS + tl.arange(0, ROWS)
            begin, end = bounds(offsets_ptr, number, samples, num_samples, num_features, num_ids, BAGS)
            longest = longest_bag(begin, end, BAGS)
            pool = pool_factors(indices_ptr, table, begin, end, longest, mode, ROWS, ACC, BAGS)
            grad = load_grad(grad_ptr, samples, width, column, samples < num_samples, first, dim, V, ACC)
            winner = tl.full([ROWS, BLOCK // V, V], 0, tl.int32)
            if BAGS:
                if mode == MAX:
                    winner = find_winners(
                        memory_ptr, indices_ptr, table, begin, end, longest, first, dim, feature, ROWS, BLOCK, ACC, V
                    )
            for k in range(longest):
                ids, kept = load_ids(indices_ptr, table, begin + k, begin + k < end)
                slots, hashed = locate(ids, first, feature, V, False)
                factors = pool * load_weights(weights_ptr, begin + k, kept, ACC, WEIGHTED)
                own = signed(grad * factors[:, None, None], ids, first, hashed, feature, V)
                mask = mask_of(kept, first, dim, V, False)
                if BAGS:
                    mask &= (mode != MAX) | (winner == k)
                tl.atomic_add(sums_ptr + slots, to_quanta(own, per_unit), mask=mask, sem="relaxed")


@triton.jit(do_not_specialize=["num_samples", "num_features", "num_ids", "tiles", "bits"])
def _lookup_backward_kernel(
    sums_ptr, grad_ptr, memory_ptr, indices_ptr, offsets_ptr, weights_ptr, layout_ptr, num_slots,
    num_samples, num_features, num_ids, width, tiles, bits,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, ACC: tl.constexpr, BAGS: tl.constexpr, WEIGHTED: tl.constexpr,
):  # fmt: skip
    """sums[s] += every contribution to slot s, in the quanta that sums[M] sets."""
    number, first_sample = run_of_tiles(num_features, tiles, ROWS)
    feature, table = load_feature(layout_ptr, number), load_table(layout_ptr, number)
    if is_one_chunk(layout_ptr, number, BLOCK):
        _add_tiles(
            sums_ptr, grad_ptr, memory_ptr, indices_ptr, offsets_ptr, weights_ptr, layout_ptr, number, first_sample,
            tiles, num_slots, num_samples, num_features, num_ids, width, bits, feature, table,
            ROWS, BLOCK, ACC, BAGS, WEIGHTED, BLOCK,
        )  # fmt: skip
    else:
        _add_tiles(
            sums_ptr, grad_ptr, memory_ptr, indices_ptr, offsets_ptr, weights_ptr, layout_ptr, number, first_sample,
            tiles, num_slots, num_samples, num_features, num_ids, width, bits, feature, table,
            ROWS, BLOCK, ACC, BAGS, WEIGHTED, 1,
        )  # fmt: skip


def new_scratch(memory: Tensor) -> Tensor:
    """The zeroed int64 sums for a memory of M slots, (M + 1,); the last is the largest contribution."""
    return torch.zeros(memory.numel() + 1, dtype=torch.int64, device=memory.device)


def accumulate(
    sums: Tensor,
    grad: Tensor,
    memory: Tensor,
    indices: Tensor,
    offsets: Tensor | None,
    weights: Tensor | None,
    layout: Tensor,
) -> int:
    """Add the batch's contributions to zeroed `sums`; returns the bits that `from_quanta` needs to read them."""
    batch, slots = batch_of(indices, offsets, layout, grad.shape[1]), memory.numel()
    bags = bags_of(indices, offsets)
    bits = resolution(elements(batch, bags))
    ids = (indices, indices if offsets is None else offsets, memory if weights is None else weights, layout)
    constants = {"ACC": accumulator(memory.dtype), **options(indices, offsets, weights), **tile_shape(batch)}
    over_runs(_largest_kernel, batch, sums, grad, *ids, slots, *batch, **constants)
    constants |= registers(memory.dtype, bags, 80)
    over_runs(_lookup_backward_kernel, batch, sums, grad, memory, *ids, slots, *batch, **constants, bits=bits)
    return bits


def lookup_backward(
    grad: Tensor, memory: Tensor, indices: Tensor, offsets: Tensor | None, weights: Tensor | None, layout: Tensor
) -> Tensor:
    """The gradient to the memory, of its shape and dtype: the same bits in every run, and in any order of samples.

    `grad` is (B, width), contiguous. Sums are exact to the quantum of `fixed_point`, which explains the resolution; a
    NaN or infinite gradient makes every slot NaN.
    """
    sums, out = new_scratch(memory), torch.empty_like(memory)
    bits = accumulate(sums, grad, memory, indices, offsets, weights, layout)
    slots = memory.numel()
    over_slots(_from_quanta_kernel, slots, out, sums, sums[slots:], slots, bits, ACC=accumulator(memory.dtype))
    return out
