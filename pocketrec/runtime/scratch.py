"""Workspaces for what a call computes in between, kept by each thread.

Arrays of some hundred kilobytes go back to the system when they are freed, and their pages come back one fault after
the other: a third of the time of a call with 256 rows.
"""

from __future__ import annotations

import math
import threading

import numpy as np


class Scratch(threading.local):
    """Every thread that asks has its own."""

    def __init__(self, floats: int) -> None:
        """floats: that the arrays of one row take together."""
        self._floats = floats
        self._buffer = np.empty(0, np.float32)

    def workspace(self, rows: int) -> Workspace:
        """For so many rows. What an earlier one of this thread gave is written over."""
        if len(self._buffer) < rows * self._floats:
            self._buffer = np.empty(rows * self._floats, np.float32)
        return Workspace(self._buffer, rows)


class Workspace:
    """Hands out arrays, one behind the other."""

    def __init__(self, buffer: np.ndarray, rows: int) -> None:
        self._buffer, self._rows, self._used = buffer, rows, 0

    def take(self, *shape: int) -> np.ndarray:
        """(rows, *shape) float32, with anything in it."""
        first = self._used
        self._used += self._rows * math.prod(shape)
        return self._buffer[first : self._used].reshape(self._rows, *shape)
