"""Whether ids, offsets and layout hold what they must, found on the device and told without waiting for it."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from pocketrec.kernels.cuda.bags import bounds, longest_bag, tile
from pocketrec.kernels.cuda.launch import batch_of, options, over_tiles
from pocketrec.kernels.cuda.row import (
    ALIGN,
    BASE,
    CHUNK,
    COLUMN,
    DIM,
    EXACT,
    EXACT_BASE,
    LINEAR,
    MAX,
    MODE,
    NUM_EMBEDDINGS,
    PADDING,
    PER_ELEMENT,
    PLACES,
    RULE,
    SIGN,
    SPAN,
)  # fmt: skip

_ROWS = 512
"""Samples a program checks: it reads their ids and no rows, and looks over its feature's layout once."""


@triton.jit
def _layout_is_good(layout_ptr, number, num_features, num_slots, width, WEIGHTED: tl.constexpr):
    """One feature's row: known choices, a region inside the memory, starts inside the region, columns that tile."""
    row_ptr = layout_ptr + number * 20
    rule, mode, sign = tl.load(row_ptr + RULE), tl.load(row_ptr + MODE), tl.load(row_ptr + SIGN)
    good = (rule >= 0) & (rule <= LINEAR) & (mode >= 0) & (mode <= MAX) & (sign >= 0) & (sign <= PER_ELEMENT)
    base, span, places = tl.load(row_ptr + BASE), tl.load(row_ptr + SPAN), tl.load(row_ptr + PLACES)
    chunk, align = tl.load(row_ptr + CHUNK), tl.load(row_ptr + ALIGN)
    good &= (base >= 0) & (span >= 1) & (base <= num_slots - span) & (chunk >= 1) & (chunk <= span)
    exact, exact_base = tl.load(row_ptr + EXACT), tl.load(row_ptr + EXACT_BASE)
    good &= (exact >= 0) & (exact_base >= 0) & (exact_base <= base)
    good &= exact <= (base - exact_base) // tl.maximum(tl.load(row_ptr + DIM), 1)
    good &= (align >= 1) & (places >= 1) & (places - 1 <= (span - 1) // tl.maximum(align, 1))
    column, dim = tl.load(row_ptr + COLUMN), tl.load(row_ptr + DIM)
    before = tl.load(row_ptr - 20 + COLUMN, mask=number > 0, other=0)
    before += tl.load(row_ptr - 20 + DIM, mask=number > 0, other=0)
    good &= (dim >= 1) & (column == before) & ((number < num_features - 1) | (column + dim == width))
    if WEIGHTED:
        good &= mode == 0
    return good


@triton.jit
def _offsets_are_good(offsets_ptr, number, samples, num_samples, num_features, num_ids):
    """Starting at 0, ending at the number of ids, never falling, for the bags of one tile."""
    exists = samples < num_samples
    bag = number.to(tl.int64) * num_samples + samples
    begin = tl.load(offsets_ptr + bag, mask=exists, other=0)
    end = tl.load(offsets_ptr + bag + 1, mask=exists, other=0)
    falls = exists & ((begin < 0) | (end < begin) | (end > num_ids))
    ends = tl.load(offsets_ptr) | (tl.load(offsets_ptr + num_features.to(tl.int64) * num_samples) - num_ids)
    return (tl.sum(falls.to(tl.int32), 0) == 0) & (ends == 0)


@triton.jit(do_not_specialize=["num_samples", "num_features", "num_ids"])
def _check_kernel(
    good_ptr, indices_ptr, offsets_ptr, layout_ptr, num_slots, num_samples, num_features, num_ids, width,
    ROWS: tl.constexpr, BAGS: tl.constexpr, WEIGHTED: tl.constexpr,
):  # fmt: skip
    """good[0] = 0 where anything is wrong; every writer writes the same, so they may race."""
    number, samples = tile(num_features, ROWS)
    good = _layout_is_good(layout_ptr, number, num_features, num_slots, width, WEIGHTED)
    if BAGS == 1:
        good &= _offsets_are_good(offsets_ptr, number, samples, num_samples, num_features, num_ids)
    begin, end = bounds(offsets_ptr, number, samples, num_samples, num_features, num_ids, BAGS)
    limit = tl.load(layout_ptr + number * 20 + NUM_EMBEDDINGS)
    padding = tl.load(layout_ptr + number * 20 + PADDING)
    # DIRECT ids are slots, so a table must not be larger than its places.
    if tl.load(layout_ptr + number * 20 + RULE) == 0:
        good &= limit <= tl.load(layout_ptr + number * 20 + PLACES)
    wrong = tl.zeros([ROWS], tl.int32)
    for k in range(longest_bag(begin, end, BAGS)):
        inside = begin + k < end
        ids = tl.load(indices_ptr + begin + k, mask=inside, other=0)
        wrong += (inside & ((ids < 0) | ((ids >= limit) & (ids != padding)))).to(tl.int32)
    if (tl.sum(wrong, 0) > 0) | (good == 0):
        tl.store(good_ptr, 0)


def check(
    memory: Tensor, indices: Tensor, offsets: Tensor | None, weights: Tensor | None, layout: Tensor, width: int
) -> None:
    """Stop the device where ids, offsets or layout hold what they must not; the host does not wait.

    Verified: ids lie in [0, num_embeddings) or are padding; offsets start at 0, end at the number of ids and never
    fall; every feature's region lies within the memory and its starts within the region; columns tile the width;
    weights go with sums. One small kernel sets a flag and `torch._assert_async` tests it: both can be captured in a
    CUDA graph. On CUDA a failure surfaces at the next synchronisation as a device-side assert, which ends the process's
    use of the card; until then the lookup reads only inside the memory and a bad id counts for nothing. Shapes, dtypes
    and devices are the host's to check.

    Raises:
        RuntimeError: on the CPU (in Triton's interpreter), at once.
    """
    batch = batch_of(indices, offsets, layout, width)
    good = torch.ones(1, dtype=torch.int32, device=memory.device)
    over_tiles(
        _check_kernel,
        batch._replace(num_samples=max(batch.num_samples, 1)),  # the layout and the offsets' ends, even without samples
        good,
        indices,
        indices if offsets is None else offsets,
        layout,
        memory.numel(),
        *batch,
        ROWS=_ROWS,
        **options(indices, offsets, weights),
    )
    torch._assert_async(
        good,
        "pocketrec: an id outside its table, offsets that fall or do not span the ids, or a layout that does not fit "
        "the memory: move the module and the batch to the CPU and call again to see which",
    )
