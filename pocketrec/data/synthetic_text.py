"""Arrays -> Criteo lines, without a Python loop over rows.

Every line is laid out in cells of fixed width filled up with zero bytes, then the zero bytes are dropped. B rows.
"""

from __future__ import annotations

import functools

import numpy as np

LARGEST_INTEGER = 9999
_INTEGER_WIDTH, _HEX_WIDTH = 4, 8
_TAB, _NEWLINE = 9, 10


def format_lines(labels: np.ndarray, integers: np.ndarray, ids: np.ndarray, blank: np.ndarray) -> bytes:
    """labels (B,) bool; integers (B, n) in [0, 9999] or -1 for blank; ids (B, F) uint32; blank (B, F) bool."""
    dense, features = integers.shape[1], ids.shape[1]
    width = 2 + dense * (_INTEGER_WIDTH + 1) + features * (_HEX_WIDTH + 1)
    cells = np.zeros((len(labels), width), np.uint8)
    cells[:, 0] = labels + ord("0")
    cells[:, 1] = _TAB
    digits, hexes = _decimal_table(), _hex_table()
    at = 2
    for k in range(dense):
        # Row -1 of the table, the last one, is the blank.
        cells[:, at : at + _INTEGER_WIDTH] = digits[integers[:, k]]
        cells[:, at + _INTEGER_WIDTH] = _TAB
        at += _INTEGER_WIDTH + 1
    for f in range(features):
        text = np.empty((len(labels), 2), np.uint32)
        text[:, 0], text[:, 1] = hexes[ids[:, f] >> np.uint32(16)], hexes[ids[:, f] & np.uint32(0xFFFF)]
        text[blank[:, f]] = 0
        cells[:, at : at + _HEX_WIDTH] = text.view(np.uint8)
        cells[:, at + _HEX_WIDTH] = _TAB
        at += _HEX_WIDTH + 1
    cells[:, -1] = _NEWLINE
    flat = cells.ravel()
    return flat[flat != 0].tobytes()


@functools.cache
def _decimal_table() -> np.ndarray:
    """(10001, 4) uint8: the digits of 0..9999 filled up with zero bytes; the last row is blank."""
    text = b"".join(str(value).encode().ljust(_INTEGER_WIDTH, b"\0") for value in range(LARGEST_INTEGER + 1))
    return np.frombuffer(text + b"\0" * _INTEGER_WIDTH, np.uint8).reshape(-1, _INTEGER_WIDTH)


@functools.cache
def _hex_table() -> np.ndarray:
    """(65536,) uint32 whose four bytes are the hex digits of the index."""
    return np.frombuffer("".join(f"{value:04x}" for value in range(1 << 16)).encode(), np.uint32)
