"""Which ids belong to which bag. With offsets `indices` is (N,), feature-major, and BAGS is 1. Without, it is (B, F),
one id a bag, and BAGS 0; or (B, F, K), K of them, and BAGS K.

Nothing a kernel reads here is trusted: bounds are clamped to the ids there are, and an id outside its table does not
count. `check` says that they were wrong; these functions keep wrong ones from touching memory.
"""

from __future__ import annotations

import triton
import triton.language as tl

from pocketrec.kernels.cuda.row import MEAN, NUM_EMBEDDINGS, PADDING


@triton.jit
def tile(num_features, ROWS: tl.constexpr):
    """This program's feature, and its samples as int64 [R]. Features go fastest: neighbours write one row's columns."""
    program = tl.program_id(0)
    return program % num_features, (program // num_features).to(tl.int64) * ROWS + tl.arange(0, ROWS)


@triton.jit
def run_of_tiles(num_features, tiles, ROWS: tl.constexpr):
    """This program's feature, and the first sample, int64, of the `tiles` tiles that it walks one after the other."""
    program = tl.program_id(0)
    return program % num_features, (program // num_features).to(tl.int64) * tiles * ROWS


@triton.jit
def bounds(offsets_ptr, number, samples, num_samples, num_features, num_ids, BAGS: tl.constexpr):
    """Where the bags of `samples` begin and end among the ids, int64 [R]; empty past the last sample."""
    exists = samples < num_samples
    if BAGS == 1:
        bag = number.to(tl.int64) * num_samples + samples
        begin = tl.load(offsets_ptr + bag, mask=exists, other=0)
        end = tl.load(offsets_ptr + bag + 1, mask=exists, other=0)
        begin, end = tl.maximum(begin, 0), tl.minimum(end, num_ids)
    elif BAGS:
        begin = (samples * num_features + number) * BAGS
        end = begin + exists.to(tl.int64) * BAGS
    else:
        begin = samples * num_features + number
        end = begin + exists.to(tl.int64)
    return begin, end


@triton.jit
def longest_bag(begin, end, BAGS: tl.constexpr):
    return tl.max(end - begin, 0) if BAGS == 1 else (BAGS if BAGS else 1)


@triton.jit
def load_table(layout_ptr, number):
    """What `load_ids` needs of a feature, read once: num_embeddings and the padding id."""
    return tl.load(layout_ptr + number * 20 + NUM_EMBEDDINGS), tl.load(layout_ptr + number * 20 + PADDING)


@triton.jit
def load_ids(indices_ptr, table, positions, inside):
    """The ids at `positions`, and which of them count: inside their bag and table, and not padding."""
    limit, padding = table
    ids = tl.load(indices_ptr + positions, mask=inside, other=0)
    return ids, inside & (ids != padding) & (ids >= 0) & (ids < limit)


@triton.jit
def load_weights(weights_ptr, positions, kept, ACC: tl.constexpr, WEIGHTED: tl.constexpr):
    """The weight of each id in ACC, [R]; 0 where it does not count."""
    if WEIGHTED:
        weights = tl.load(weights_ptr + positions, mask=kept, other=0.0).to(ACC)
    else:
        weights = kept.to(ACC)
    return weights


@triton.jit
def pool_factors(
    indices_ptr, table, begin, end, longest, mode,
    ROWS: tl.constexpr, ACC: tl.constexpr, BAGS: tl.constexpr,
):  # fmt: skip
    """What each bag's rows are multiplied by, weights apart, in ACC [R]: 1 / count for a mean, else 1."""
    factors = tl.full([ROWS], 1.0, ACC)
    if BAGS:
        if mode == MEAN:
            counts = tl.zeros([ROWS], tl.int32)
            for k in range(longest):
                _, kept = load_ids(indices_ptr, table, begin + k, begin + k < end)
                counts += kept.to(tl.int32)
            factors = 1.0 / tl.maximum(counts, 1).to(ACC)
    return factors


@triton.jit
def beats(values, best, seen):
    """Whether `values` replace `best` in a running maximum: the first of ties stays, and the first NaN wins."""
    return (seen == 0)[:, None, None] | ((best == best) & ((values > best) | (values != values)))
