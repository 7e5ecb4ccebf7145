"""Numbers of a few bits each, one after the other without gaps, the lowest bit first."""

from __future__ import annotations

import torch
from torch import Tensor

GUARD = 2
"""Bytes that must follow the packed ones, so that `read` may look at two bytes wherever a number begins."""


def pack(numbers: Tensor, widths: Tensor) -> Tensor:
    """(n, K) integers of widths (K,) bits, row after row -> (bytes,) uint8, the last one filled up with zeros."""
    columns = torch.repeat_interleave(widths)
    shifts = torch.arange(len(columns), device=widths.device) - (widths.cumsum(0) - widths)[columns]
    bits = (numbers[:, columns] >> shifts & 1).to(torch.uint8).flatten()
    by_byte = torch.nn.functional.pad(bits, (0, -len(bits) % 8)).view(-1, 8)
    return (by_byte << torch.arange(8, dtype=torch.uint8, device=bits.device)).sum(1, dtype=torch.uint8)


def read(packed: Tensor, positions: Tensor, masks: Tensor) -> Tensor:
    """The numbers that begin at bits `positions`; of b bits, b at most 8, where the mask is 2 ** b - 1."""
    byte = (positions >> 3).flatten()
    low, high = (packed.index_select(0, at).view_as(positions).int() for at in (byte, byte + 1))
    return (low | high << 8) >> (positions & 7).int() & masks
