"""The memory of a device in words: `t4`, `here`, `24GB`."""

from __future__ import annotations

import os

from pocketrec.errors import UsageError, nearest
from pocketrec.units import parse_bytes

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
