"""What a coded table stores, and where its codes lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pocketrec.sharing.bit_packing import GUARD, read

BITS_OF_WIDTH = 3
"""In which a number of bits is written, 0 to 7."""


class Codes(NamedTuple):
    """All that is stored. T tables, of I tiers and K numbers a row each; one after the other, row-major."""

    packed: Tensor
    """uint8: the codes, row after row of a tier; each tier begins at a byte; two bytes more."""
    bits: Tensor
    """uint8: b of each (tier, k), in 3 bits."""
    means: Tensor
    """float16, of each (tier, k)."""
    scales: Tensor
    """float16, of each (tier, k) that has bits."""
    basis: Tensor
    """int8, (K, D) of each table."""
    basis_scales: Tensor
    """float32, of each k."""
    tiers: Tensor
    """int16, I of each table."""
    components: Tensor
    """int16, K of each table."""
    first_rows: Tensor
    """int32, of each tier."""


TYPES = {
    "packed": torch.uint8,
    "bits": torch.uint8,
    "means": torch.float16,
    "scales": torch.float16,
    "basis": torch.int8,
    "basis_scales": torch.float32,
    "tiers": torch.int16,
    "components": torch.int16,
    "first_rows": torch.int32,
}
"""Of each tensor."""


class CodedTable(NamedTuple):
    """What a lookup needs of one table; follows from what is stored."""

    first_rows: Tensor
    """(I,)"""
    starts: Tensor
    """(I,) the bit of `packed` at which a tier begins."""
    row_bits: Tensor
    """(I,)"""
    offsets: Tensor
    """(I, K) of a code within the bits of its row."""
    masks: Tensor
    """(I, K) 2 ** b - 1: of a code, and where its levels begin among all."""
    means: Tensor
    """(I, K)"""
    scales: Tensor
    """(I, K)"""
    basis: Tensor
    """(K, D), int8."""
    basis_scales: Tensor
    """(K, 1)"""

    @staticmethod
    def fixed_bytes(tables: int) -> int:
        """Stored in any case."""
        return 4 * tables + GUARD


def tables_of(codes: Codes, rows: Sequence[int], dims: Sequence[int]) -> list[CodedTable]:
    """Of each table, of so many rows and so wide.

    Raises:
        ValueError: the tensors do not belong together.
    """
    tiers, components = (t.tolist() for t in (codes.tiers, codes.components))
    sizes = [i * k for i, k in zip(tiers, components, strict=True)]
    if len(sizes) != len(rows) or min((*tiers, *components), default=0) < 0:
        raise ValueError(f"of {len(sizes)} tables, not {len(rows)}")
    widths = _widths(codes.bits, sum(sizes))
    scales = codes.means.new_zeros(sum(sizes), dtype=torch.float32)
    scales[widths > 0] = codes.scales.float()
    cells = [
        [part.view(i, k) for part, i, k in zip(whole.split(sizes), tiers, components, strict=True)]
        for whole in (widths, codes.means.float(), scales)
    ]
    bases = codes.basis.split([k * d for k, d in zip(components, dims, strict=True)])
    of_table = zip(
        *cells, bases, codes.basis_scales.split(components), codes.first_rows.long().split(tiers), strict=True
    )
    found, start = [], 0
    for n, d, (own, mean, scale, basis, basis_scale, first) in zip(rows, dims, of_table, strict=True):
        table, start = _table(n, start, own, mean, scale, basis.view(-1, d), basis_scale[:, None], first)
        found.append(table)
    if len(codes.packed) != start // 8 + GUARD:
        raise ValueError(f"{len(codes.packed)} bytes of codes where {start // 8 + GUARD} belong")
    return found


def _widths(bits: Tensor, count: int) -> Tensor:
    if len(bits) != -(-BITS_OF_WIDTH * count // 8):
        raise ValueError(f"{len(bits)} bytes for the widths of {count} codes")
    guarded = torch.cat([bits, bits.new_zeros(GUARD)])
    positions = BITS_OF_WIDTH * torch.arange(count, device=bits.device)
    return read(guarded, positions, torch.full_like(positions, (1 << BITS_OF_WIDTH) - 1, dtype=torch.int32)).long()


def _table(
    rows: int,
    start: int,
    widths: Tensor,
    means: Tensor,
    scales: Tensor,
    basis: Tensor,
    basis_scales: Tensor,
    first: Tensor,
) -> tuple[CodedTable, int]:
    ends = torch.cat([first[1:], first.new_tensor([rows])])
    if len(first) and not (int(first[0]) == 0 and bool((ends > first).all())):
        raise ValueError(f"tiers do not divide {rows} rows")
    row_bits = widths.sum(1)
    taken = ((ends - first) * row_bits + 7 >> 3) * 8
    starts = start + taken.cumsum(0) - taken
    masks = (1 << widths) - 1
    offsets = widths.cumsum(1) - widths
    return (
        CodedTable(first, starts, row_bits, offsets, masks.int(), means, scales, basis, basis_scales),
        start + int(taken.sum()),
    )
