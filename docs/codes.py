"""The figure of transform coding: whose rows got how many bits, and of which numbers."""

from __future__ import annotations

from collections.abc import Iterator

import svg
import torch

from pocketrec import EmbeddingBagCollection, Full, Table, TransformCoding, full_bytes, stored_bytes
from pocketrec.compress import encode
from pocketrec.compress.transform import table_weights
from pocketrec.report import COLOURS
from pocketrec.sharing.codes import CodedTable
from pocketrec.sharing.transform_coding import Coded

ROWS, DIM, COMPRESSION = 3000, 8, 20

# In pixels.
TOP, LEFT, CELL, GAP = 46, 170, 26, 6
BIT = 16


def figure() -> str:
    """Tiers one below the other; of each of them the bits of a row, number after number."""
    small = coded()
    (table,) = _tables(small)
    height = TOP + len(table.first_rows) * (CELL + GAP) + 18
    return svg.page("transform-coding: bits of a row, tier by tier", height, _marks(small, table, height))


def coded() -> EmbeddingBagCollection:
    """A table as training leaves them: few directions tell most, and few rows are seen often."""
    torch.manual_seed(0)
    full = EmbeddingBagCollection([Table("user", ROWS, DIM)], Full())
    (weight,) = table_weights(full)
    basis = torch.linalg.qr(torch.randn(DIM, DIM)).Q
    weight.copy_(torch.randn(ROWS, DIM) * 0.6 ** torch.arange(DIM) @ basis)
    counts = 20_000 // torch.arange(1, ROWS + 1)
    return encode(full, compression=COMPRESSION, counts=[counts], sharing=TransformCoding(ratio=4))


def _tables(small: EmbeddingBagCollection) -> list[CodedTable]:
    assert isinstance(small.recovery, Coded)
    return small.recovery._coded


def _marks(small: EmbeddingBagCollection, table: CodedTable, height: int) -> Iterator[str]:
    ends = [*table.first_rows.tolist()[1:], ROWS]
    yield f'<text class="t l" x="1" y="{TOP - 24}">rows, by count</text>'
    yield f'<text class="t l" x="{LEFT}" y="{TOP - 24}">a row of codes: of each number so many bits, a box a bit</text>'
    for tier, (first, end) in enumerate(zip(table.first_rows.tolist(), ends, strict=True)):
        top = TOP + tier * (CELL + GAP)
        told = f"{first:,} to {end - 1:,}" if end > first + 1 else f"{first:,}"
        yield f'<text class="l" x="1" y="{top + CELL / 2 + 4:g}">{told}</text>'
        if not table.row_bits[tier]:
            yield f'<text class="l" x="{LEFT}" y="{top + CELL / 2 + 4:g}">none: the mean of the tier says it</text>'
        left = float(LEFT)
        for number, mask in enumerate(table.masks[tier].tolist()):
            for _ in range(mask.bit_length()):
                yield from svg.cell(left, top, BIT, CELL, COLOURS[number % len(COLOURS)], str(number))
                left += BIT
            left += 3 if mask else 0
    basis = f"basis: {len(table.basis)} of {DIM} directions, int8"
    told = f"{basis} · {stored_bytes(small)} of {full_bytes(small)} bytes stored"
    yield f'<text class="r" x="{svg.WIDTH - 1}" y="{height - 6}">{told}</text>'
