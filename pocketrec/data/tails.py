"""Heavy-tailed ids for a synthetic log: which values a column has and how often each occurs."""

from __future__ import annotations

import numpy as np

CRITEO_CARDINALITIES = (
    *(1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683, 8351593, 3194),
    *(27, 14992, 5461306, 10, 5652, 2173, 4, 7046547, 18, 15, 286181, 105, 142572),
)
"""Distinct values per column of the Kaggle data set: the shape that synthetic columns follow."""
_EXPONENTS = (0.75, 0.9, 1.05)


class HeavyTail:
    """A column whose rank r occurs with probability proportional to r ** -exponent, r in [1, size]."""

    def __init__(self, feature: int, seed: int, distinct: int, rows: int) -> None:
        """Choose the size so that about `distinct` values occur in `rows` draws (at most 4 times as many exist)."""
        self.exponent = _EXPONENTS[feature % len(_EXPONENTS)]
        self.size = _solve_size(self.exponent, distinct, rows)
        self._key = np.uint32(np.random.default_rng([seed, 2, feature]).integers(1 << 32))

    def ranks(self, uniform: np.ndarray) -> np.ndarray:
        """(B,) in [0, 1) -> (B,) int64 ranks from 0, the most frequent first."""
        return _rank(uniform, self.exponent, self.size)

    def ids(self, ranks: np.ndarray) -> np.ndarray:
        """(B,) ranks -> (B,) uint32; a bijection of 32 bits (MurmurHash3's finaliser), so distinct stays distinct."""
        x = ranks.astype(np.uint32) ^ self._key
        x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
        x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
        return x ^ (x >> np.uint32(16))


def column_sizes(distinct_ids: int) -> list[int]:
    """How many distinct values each of the 26 columns should have: Criteo's to a power, so that they sum up."""
    low, high = 0.0, 1.2
    for _ in range(60):
        power = (low + high) / 2
        low, high = (power, high) if sum(_sizes(power)) < distinct_ids else (low, power)
    return _sizes(high)


def _sizes(power: float) -> list[int]:
    return [max(2, round(n**power)) for n in CRITEO_CARDINALITIES]


def _rank(uniform: np.ndarray, exponent: float, size: int) -> np.ndarray:
    """The inverse of the continuous distribution function on [1, size + 1), floored."""
    power = 1.0 - exponent
    values = (1.0 + uniform * ((size + 1.0) ** power - 1.0)) ** (1.0 / power)
    return np.minimum(values.astype(np.int64) - 1, size - 1)


def _solve_size(exponent: float, distinct: int, rows: int) -> int:
    low, high = distinct, 4 * distinct
    while low < high:
        size = (low + high) // 2
        if _expected_distinct(exponent, size, rows) < distinct:
            low = size + 1
        else:
            high = size
    return low


def _expected_distinct(exponent: float, size: int, rows: int) -> float:
    """Expected distinct values in `rows` draws, summed over a logarithmic grid of ranks."""
    edges = np.unique(np.geomspace(1, size + 1, 500).astype(np.int64)).astype(np.float64)
    power = 1.0 - exponent
    mass = np.diff(edges**power) / ((size + 1.0) ** power - 1.0)
    count = np.diff(edges)
    return float((count * -np.expm1(-rows * mass / count)).sum())
