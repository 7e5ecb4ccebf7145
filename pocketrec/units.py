"""Bytes and ratios in the words people use."""

from __future__ import annotations

import re

from pocketrec.errors import UsageError

UNITS = {
    **{name: 1000**power for power, name in enumerate(("B", "kB", "MB", "GB", "TB"))},
    **{name: 1024**power for power, name in enumerate(("KiB", "MiB", "GiB", "TiB"), 1)},
}
_SIZE = re.compile(r"(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)\s*([A-Za-z]*)")


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


def parse_bytes(name: str, text: str) -> int:
    """`10MB` -> 10,000,000; units B to TB (powers of 1000) and KiB to TiB (of 1024), in any case; bytes without one.

    Raises UsageError, naming the argument, for anything else and for less than one byte.
    """
    told = _SIZE.fullmatch(text.strip())
    if not told:
        raise UsageError(f"{name}: wants a number and a unit, such as 10MB or 1.5GiB, got {text!r}")
    amount, unit = told.groups()
    by_lower = {known.lower(): factor for known, factor in UNITS.items()}
    if unit and unit.lower() not in by_lower:
        raise UsageError(f"{name}: unknown unit {unit!r} in {text!r}: choose from {', '.join(UNITS)}")
    value = float(amount) * by_lower[unit.lower() or "b"]
    if not 1 <= value < 2**62:
        raise UsageError(f"{name}: must be at least 1 byte, and below 2^62, got {text!r}")
    return int(value)
