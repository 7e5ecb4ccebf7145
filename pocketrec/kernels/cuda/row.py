"""Where a row of a virtual table lies in the memory: the layout of pocketrec/ops/layout.py, read inside a kernel.

The host never reads the layout (that would wait for the device); kernels load a feature's 20 numbers themselves and
branch on them. All threads of a program work on one feature, so those branches never diverge.

Shapes: R samples of a tile, G lanes of V consecutive elements each: a tile is [R, G, V], and a lane never spans two
chunks, so the place is hashed once per lane.
"""

from __future__ import annotations

import triton
import triton.language as tl

from pocketrec.kernels.cuda import hash as hashes

COLUMNS = 20

# Columns of a layout row, in the order of FeatureLayout in ops/layout.py.
RULE, NUM_EMBEDDINGS, PADDING, DIM, COLUMN, MODE, BASE, SPAN, CHUNK, ALIGN, PLACES, SIGN = map(tl.constexpr, range(12))
PLACE_0, PLACE_1, PLACE_2, SIGN_0, SIGN_1, SIGN_2, EXACT, EXACT_BASE = map(tl.constexpr, range(12, COLUMNS))

# The values of Rule, Mode and Sign there.
DIRECT, MIXING, LINEAR = map(tl.constexpr, range(3))
SUM, MEAN, MAX = map(tl.constexpr, range(3))
UNSIGNED, PER_CHUNK, PER_ELEMENT = map(tl.constexpr, range(3))

LANE = tl.constexpr(4)
"""Elements of a vector lane: 16 bytes of float32, and small enough that chunks of 4 still qualify."""


@triton.jit
def load_feature(layout_ptr, number):
    """The numbers of one feature that `locate` reads, as a tuple."""
    row_ptr = layout_ptr + number * 20
    return (
        tl.load(row_ptr + RULE),
        tl.load(row_ptr + BASE),
        tl.load(row_ptr + SPAN),
        tl.load(row_ptr + CHUNK),
        tl.load(row_ptr + ALIGN),
        tl.load(row_ptr + PLACES).to(tl.uint64),
        tl.load(row_ptr + SIGN),
        tl.load(row_ptr + PLACE_0).to(tl.uint64, bitcast=True),
        tl.load(row_ptr + PLACE_1).to(tl.uint64),
        tl.load(row_ptr + PLACE_2).to(tl.uint64),
        tl.load(row_ptr + SIGN_0).to(tl.uint64),
        tl.load(row_ptr + SIGN_1).to(tl.uint64),
        tl.load(row_ptr + SIGN_2).to(tl.uint64),
        tl.load(row_ptr + EXACT),
        tl.load(row_ptr + EXACT_BASE),
        tl.load(row_ptr + DIM),
    )


@triton.jit
def is_vectorised(layout_ptr, number, width):
    """Whether every lane of 4 elements lies in one chunk, never wraps, and starts on a multiple of 4 everywhere."""
    row_ptr = layout_ptr + number * 20
    numbers = tl.load(row_ptr + DIM) | tl.load(row_ptr + COLUMN) | tl.load(row_ptr + BASE) | tl.load(row_ptr + SPAN)
    numbers |= tl.load(row_ptr + EXACT_BASE)
    return (numbers | tl.load(row_ptr + CHUNK) | tl.load(row_ptr + ALIGN) | width) % LANE == 0


@triton.jit
def is_in_lanes(layout_ptr, number, width):
    """Whether every lane of 4 elements lies in one chunk and is written to a multiple of 4, wherever it is read."""
    row_ptr = layout_ptr + number * 20
    dim, chunk, span = tl.load(row_ptr + DIM), tl.load(row_ptr + CHUNK), tl.load(row_ptr + SPAN)
    fits = ((dim | tl.load(row_ptr + COLUMN) | width) % LANE == 0) & ((chunk % LANE == 0) | (chunk >= dim))
    return fits & (span >= LANE) & (span <= 1 << 30)


@triton.jit
def is_one_chunk(layout_ptr, number, BLOCK: tl.constexpr):
    """Whether every block of BLOCK elements of a row lies in one chunk."""
    chunk = tl.load(layout_ptr + number * 20 + CHUNK)
    return (chunk % BLOCK == 0) | (chunk >= tl.load(layout_ptr + number * 20 + DIM))


@triton.jit
def lanes(start, BLOCK: tl.constexpr, V: tl.constexpr):
    """The first element of each lane of the block at `start`: int32 [G]."""
    return (tl.arange(0, BLOCK // V) * V + start).to(tl.int32)


@triton.jit
def elements_of(first, V: tl.constexpr):
    """The element of each place in a tile: int32 [1, G, V]."""
    return first[None, :, None] + tl.arange(0, V)[None, None, :]


@triton.jit
def mask_of(kept, first, dim, V: tl.constexpr, VECTOR: tl.constexpr):
    """[R, G, V] true where the row counts and the element exists; constant over a vector lane, which keeps it whole."""
    if VECTOR:
        inside = (first < dim)[None, :, None] & (tl.arange(0, V) < V)[None, None, :]
    else:
        inside = elements_of(first, V) < dim
    return kept[:, None, None] & inside


@triton.jit
def _places(ids, chunks, feature):
    """The place of each lane, int64 [R, G, 1], and the low half of its hash, uint32 [R, G, 1], for signs."""
    rule, _, _, _, _, places, _, place_0, place_1, place_2, _, _, _, _, _, _ = feature
    rows, chunks = ids[:, None, None], chunks[None, :, None]
    place = rows + tl.zeros_like(chunks)
    hashed = place.to(tl.uint32)
    if rule == MIXING:
        row = hashes.mixing_row(rows.to(tl.uint64, bitcast=True), place_0)
        mixed = hashes.mixing_chunk(row, chunks.to(tl.uint64))
        place = hashes.scale(mixed, places).to(tl.int64)
        hashed = mixed.to(tl.uint32)
    elif rule == LINEAR:
        row = hashes.linear_row(rows.to(tl.uint64, bitcast=True), place_0, place_1)
        hashed = hashes.linear_hash(row, hashes.linear_column(chunks, place_2))
        place = hashes.modulo_places(hashed, places).to(tl.int64)
    return place, hashed


@triton.jit
def _starts(ids, first, feature):
    """Where each lane starts in its region, unwrapped, int64 [R, G, 1], and the low half of its hash, uint32."""
    _, base, _, chunk, align, _, _, _, _, _, _, _, _, exact, exact_base, dim = feature
    short = tl.minimum(chunk, 2147483647).to(tl.int32)
    place, hashed = _places(ids, first // short, feature)
    start = place * align + (first % short).to(tl.int64)[None, :, None]
    # Rows of their own lie before the region, which they never wrap around.
    rows = ids[:, None, None]
    is_exact = rows < exact
    start = tl.where(is_exact, exact_base - base + rows * dim + first.to(tl.int64)[None, :, None], start)
    return start, tl.where(is_exact, 0, hashed)


@triton.jit
def _wrap(slots, feature):
    """Places in a region, at most one turn too far, as slots of the memory."""
    _, base, span, _, _, _, _, _, _, _, _, _, _, _, _, _ = feature
    return base + tl.where(slots >= span, slots - span, slots)


@triton.jit
def locate(ids, first, feature, V: tl.constexpr, VECTOR: tl.constexpr):
    """The slots of a tile of rows, int64 [R, G, V], and the low half of each lane's hash, uint32 [R, G, 1]."""
    start, hashed = _starts(ids, first, feature)
    if VECTOR:
        slots = tl.multiple_of(_wrap(start, feature), (V, V, V)) + tl.arange(0, V)[None, None, :]
    else:
        slots = _wrap(start + tl.arange(0, V)[None, None, :], feature)
        # Not true where a chunk ends or wraps, and only used to give neighbouring slots to neighbouring threads: with
        # no multiple known, a thread still reads one element at a time.
        slots = tl.max_contiguous(slots, (1, slots.shape[1], V))
    return slots, hashed


@triton.jit
def signed(values, ids, first, hashed, feature, V: tl.constexpr):
    """The values of a tile times their signs."""
    _, _, _, _, _, _, sign, _, _, _, sign_0, sign_1, sign_2, _, _, _ = feature
    if sign == PER_CHUNK:
        values = tl.where((hashed & 1) != 0, -values, values)
    elif sign == PER_ELEMENT:
        row = hashes.linear_row(ids.to(tl.uint64, bitcast=True), sign_0, sign_1)
        drawn = hashes.linear_hash(row[:, None, None], hashes.linear_column(elements_of(first, V), sign_2))
        values = tl.where(drawn % 2 != 0, values, -values)
    return values


@triton.jit
def _load(memory_ptr, scales_ptr, slots, mask, SCALED: tl.constexpr, ACC: tl.constexpr):
    values = tl.load(memory_ptr + slots, mask=mask, other=0.0, eviction_policy="evict_last").to(ACC)
    if SCALED:
        values *= tl.load(scales_ptr + (slots >> 6), mask=mask, other=0.0)
    return values


@triton.jit
def _gather_lanes(
    memory_ptr, scales_ptr, ids, kept, first, dim, feature, SCALED: tl.constexpr, ACC: tl.constexpr
):  # fmt: skip
    """Lanes of 4, hashed once a thread and read one element at a time, wherever they lie: [R, G, 4], [R, G, 1]."""
    _, base, span, _, _, _, _, _, _, _, _, _, _, _, _, _ = feature
    start, hashed = _starts(ids, first, feature)
    slots = tl.reshape(_wrap(start, feature), [start.shape[0], start.shape[1]])
    mask = kept[:, None] & (first < dim)[None, :]
    # Elements before the end of the region, where the lane wraps: `is_in_lanes` sees to it that 32 bits hold the span.
    left = tl.minimum(base + span - slots, 4).to(tl.int32)
    turn = tl.minimum(span, 1 << 30).to(tl.int32)
    value_0 = _load(memory_ptr, scales_ptr, slots, mask, SCALED, ACC)
    value_1 = _load(memory_ptr, scales_ptr, slots + tl.where(left > 1, 1, 1 - turn), mask, SCALED, ACC)
    value_2 = _load(memory_ptr, scales_ptr, slots + tl.where(left > 2, 2, 2 - turn), mask, SCALED, ACC)
    value_3 = _load(memory_ptr, scales_ptr, slots + tl.where(left > 3, 3, 3 - turn), mask, SCALED, ACC)
    values = tl.join(tl.join(value_0, value_2), tl.join(value_1, value_3))
    return tl.reshape(values, [slots.shape[0], slots.shape[1], 4]), hashed


@triton.jit
def gather(
    memory_ptr, scales_ptr, ids, kept, first, dim, feature,
    V: tl.constexpr, VECTOR: tl.constexpr, SCALED: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """The elements of a tile of rows, [R, G, V] in ACC; 0 where the row does not count."""
    if VECTOR or V != LANE:
        slots, hashed = locate(ids, first, feature, V, VECTOR)
        mask = mask_of(kept, first, dim, V, VECTOR)
        values = _load(memory_ptr, scales_ptr, slots, mask, SCALED, ACC)
    else:
        values, hashed = _gather_lanes(memory_ptr, scales_ptr, ids, kept, first, dim, feature, SCALED, ACC)
    return signed(values, ids, first, hashed, feature, V)
