"""Sizes in words: `10MB`, `1.5 GiB`, the memory of a device."""

from __future__ import annotations

import os
import re

from pocketrec.errors import UsageError, nearest

UNITS = {
    **{name: 1000**power for power, name in enumerate(("B", "kB", "MB", "GB", "TB"))},
    **{name: 1024**power for power, name in enumerate(("KiB", "MiB", "GiB", "TiB"), 1)},
}
HERE = "here"
DEVICES = {
    "t4": 16e9,
    "l4": 24e9,
    "a10": 24e9,
    "rtx-4090": 24e9,
    "a100-40gb": 40e9,
    "a100-80gb": 80e9,
    "h100": 80e9,
    "h200": 141e9,
}
"""Bytes that makers name; what a driver leaves free is a little less."""
_SIZE = re.compile(r"(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)\s*([A-Za-z]*)")


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


def device_bytes(text: str) -> int:
    """The memory of a device by its word, `here` for this machine's, or a size. Raises UsageError; says the nearest."""
    word = text.strip().lower()
    if word == HERE:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if word in DEVICES:
        return int(DEVICES[word])
    if word[:1].isdigit():
        return parse_bytes("device", text)
    told = "a size such as 24GB, or a name of which we know the memory"
    raise UsageError(f"device: wants {told}; unknown {text!r}: {nearest(word, (*DEVICES, HERE))}")
