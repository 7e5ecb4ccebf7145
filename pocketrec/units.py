"""Bytes and ratios in the words people use."""

from __future__ import annotations


def size(value: float) -> str:
    """Bytes in the unit people read: 475 kB, 47.5 MB, 100 GB (powers of 1000)."""
    unit = "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"


def ratio(value: float) -> str:
    """A compression as people say it: 1,000x, 100x, 2.25x."""
    return f"{value:,.0f}x" if value >= 99.5 else f"{value:.3g}x"
