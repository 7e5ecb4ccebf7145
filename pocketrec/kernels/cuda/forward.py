"""out[b, columns of f] = pool over the bag's ids of weight * row: one program, one tile of samples of one feature."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from pocketrec.kernels.cuda.bags import beats, bounds, load_ids, load_table, load_weights, longest_bag, run_of_tiles
from pocketrec.kernels.cuda.launch import accumulator, bags_of, batch_of, options, over_runs, registers, tile_shape
from pocketrec.kernels.cuda.row import (
    COLUMN,
    DIM,
    LANE,
    MAX,
    MEAN,
    MODE,
    gather,
    is_in_lanes,
    is_vectorised,
    lanes,
    load_feature,
    mask_of,
)  # fmt: skip


@triton.jit
def _pool_bags(
    memory_ptr, scales_ptr, indices_ptr, weights_ptr, begin, end, longest, mode, first, dim, feature, table,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, ACC: tl.constexpr, WEIGHTED: tl.constexpr, SCALED: tl.constexpr,
    V: tl.constexpr, VECTOR: tl.constexpr,
):  # fmt: skip
    """The pooled elements of one block of a tile of bags, [R, G, V] in ACC."""
    pooled = tl.zeros([ROWS, BLOCK // V, V], ACC)
    counts = tl.zeros([ROWS], tl.int32)
    for k in range(longest):
        ids, kept = load_ids(indices_ptr, table, begin + k, begin + k < end)
        values = gather(memory_ptr, scales_ptr, ids, kept, first, dim, feature, V, VECTOR, SCALED, ACC)
        if mode == MAX:
            pooled = tl.where(kept[:, None, None] & beats(values, pooled, counts), values, pooled)
        else:
            if WEIGHTED:
                values *= load_weights(weights_ptr, begin + k, kept, ACC, WEIGHTED)[:, None, None]
            pooled += values
        counts += kept.to(tl.int32)
    if mode == MEAN:
        pooled *= (1.0 / tl.maximum(counts, 1).to(ACC))[:, None, None]
    return pooled


@triton.jit
def _write_tiles(
    out_ptr, memory_ptr, scales_ptr, indices_ptr, offsets_ptr, weights_ptr, layout_ptr, number, first_sample, tiles,
    num_samples, num_features, num_ids, width, feature, table,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, ACC: tl.constexpr, BAGS: tl.constexpr, WEIGHTED: tl.constexpr,
    SCALED: tl.constexpr, V: tl.constexpr, VECTOR: tl.constexpr,
):  # fmt: skip
    dim = tl.load(layout_ptr + number * 20 + DIM)
    column = tl.load(layout_ptr + number * 20 + COLUMN)
    mode = tl.load(layout_ptr + number * 20 + MODE)
    for start in range(0, dim, BLOCK):
        first = lanes(start, BLOCK, V)
        for turn in range(tiles):
            samples = first_sample + turn * ROWS + tl.arange(0, ROWS)
            begin, end = bounds(offsets_ptr, number, samples, num_samples, num_features, num_ids, BAGS)
            if BAGS:
                pooled = _pool_bags(
                    memory_ptr, scales_ptr, indices_ptr, weights_ptr, begin, end, longest_bag(begin, end, BAGS), mode,
                    first, dim, feature, table, ROWS, BLOCK, ACC, WEIGHTED, SCALED, V, VECTOR,
                )  # fmt: skip
            else:
                ids, kept = load_ids(indices_ptr, table, begin, begin < end)
                pooled = gather(memory_ptr, scales_ptr, ids, kept, first, dim, feature, V, VECTOR, SCALED, ACC)
                if WEIGHTED:
                    pooled *= load_weights(weights_ptr, begin, kept, ACC, WEIGHTED)[:, None, None]
            to = (samples * width + column)[:, None, None] + first[None, :, None]
            if V == LANE:
                to = tl.multiple_of(to, (V, V, V))
            to += tl.arange(0, V)[None, None, :]
            mask = mask_of(samples < num_samples, first, dim, V, V == LANE)
            # The output streams past; what should stay in the cache is the memory.
            tl.store(out_ptr + to, pooled.to(out_ptr.dtype.element_ty), mask=mask, eviction_policy="evict_first")


@triton.jit(do_not_specialize=["num_samples", "num_features", "num_ids", "tiles"])
def _lookup_forward_kernel(
    out_ptr, memory_ptr, scales_ptr, indices_ptr, offsets_ptr, weights_ptr, layout_ptr,
    num_samples, num_features, num_ids, width, tiles,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, ACC: tl.constexpr, BAGS: tl.constexpr, WEIGHTED: tl.constexpr,
    SCALED: tl.constexpr,
):  # fmt: skip
    number, first_sample = run_of_tiles(num_features, tiles, ROWS)
    feature, table = load_feature(layout_ptr, number), load_table(layout_ptr, number)
    # Three copies of the same code, by how lanes may be cut: 4 elements where all is aligned, read and written 16 bytes
    # at a time; 4 elements read one by one, where chunks start anywhere; else a hash per element.
    if is_vectorised(layout_ptr, number, width):
        _write_tiles(
            out_ptr, memory_ptr, scales_ptr, indices_ptr, offsets_ptr, weights_ptr, layout_ptr, number, first_sample,
            tiles, num_samples, num_features, num_ids, width, feature, table,
            ROWS, BLOCK, ACC, BAGS, WEIGHTED, SCALED, LANE, True,
        )  # fmt: skip
    elif is_in_lanes(layout_ptr, number, width):
        _write_tiles(
            out_ptr, memory_ptr, scales_ptr, indices_ptr, offsets_ptr, weights_ptr, layout_ptr, number, first_sample,
            tiles, num_samples, num_features, num_ids, width, feature, table,
            ROWS, BLOCK, ACC, BAGS, WEIGHTED, SCALED, LANE, False,
        )  # fmt: skip
    else:
        _write_tiles(
            out_ptr, memory_ptr, scales_ptr, indices_ptr, offsets_ptr, weights_ptr, layout_ptr, number, first_sample,
            tiles, num_samples, num_features, num_ids, width, feature, table,
            ROWS, BLOCK, ACC, BAGS, WEIGHTED, SCALED, 1, False,
        )  # fmt: skip


def lookup(
    memory: Tensor,
    indices: Tensor,
    offsets: Tensor | None,
    weights: Tensor | None,
    layout: Tensor,
    width: int,
    scales: Tensor | None = None,
) -> Tensor:
    """All features' pooled rows side by side, (B, width), in the memory's dtype.

    An int8 memory takes `scales`, float32, one for each 64 slots (slot s holds memory[s] * scales[s // 64]); the
    result is float32. Arguments are taken as checked: see `pocketrec.ops.lookup` and `check`.
    """
    batch = batch_of(indices, offsets, layout, width)
    out = memory.new_empty(batch.num_samples, width, dtype=memory.dtype if scales is None else torch.float32)
    over_runs(
        _lookup_forward_kernel,
        batch,
        out,
        memory,
        memory if scales is None else scales,
        indices,
        indices if offsets is None else offsets,
        memory if weights is None else weights,
        layout,
        *batch,
        ACC=accumulator(memory.dtype),
        SCALED=scales is not None,
        **options(indices, offsets, weights),
        **tile_shape(batch),
        **registers(memory.dtype, bags_of(indices, offsets), 48),
    )
    return out
