"""A keyed pseudo-random order of [0, n) that needs no memory.

A balanced Feistel network (Luby & Rackoff 1988) over the next even number of bits, with cycle walking: values that fall
outside [0, n) are encrypted again until they fall inside. A permutation whatever the round function is.
"""

from __future__ import annotations

import numpy as np

from pocketrec.hashing import CHUNK_STEP, mix64, mixing_key

_ROUNDS = 4


class Permutation:
    """Position -> element, for positions in [0, n); another order for every (seed, epoch)."""

    def __init__(self, n: int, seed: int, epoch: int) -> None:
        self.n = n
        self._half = max(1, (max(n - 1, 1).bit_length() + 1) // 2)
        self._mask = (1 << self._half) - 1
        key = np.array([mixing_key(seed, epoch)], dtype=np.int64)
        self._keys = [mix64(key + np.int64(round_) * np.array([CHUNK_STEP])) for round_ in range(1, _ROUNDS + 1)]

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        """(B,) int64 in [0, n) -> (B,) int64 in [0, n), all different when the positions are."""
        values = self._encrypt(positions)
        outside = np.flatnonzero(values >= self.n)
        while len(outside):
            values[outside] = self._encrypt(values[outside])
            outside = outside[values[outside] >= self.n]
        return values

    def _encrypt(self, values: np.ndarray) -> np.ndarray:
        left, right = values >> self._half, values & self._mask
        for key in self._keys:
            left, right = right, left ^ ((mix64(right + key) >> 17) & self._mask)
        return (left << self._half) | right
