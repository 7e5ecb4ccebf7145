"""Heavy-tailed ids for a synthetic log: which values a column has and how often each occurs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CRITEO_CARDINALITIES = (
    *(1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683, 8351593, 3194),
    *(27, 14992, 5461306, 10, 5652, 2173, 4, 7046547, 18, 15, 286181, 105, 142572),
)
"""Distinct values per column of the Kaggle data set: the shape that synthetic columns follow."""
_EXPONENTS = (0.75, 0.9, 1.05)
_MOST = 4  # values that exist per value that is to be seen, at most


@dataclass(frozen=True)
class Population:
    """The values of a column: the one of rank r occurs with probability proportional to r ** -exponent."""

    exponent: float
    size: int
    """Values that exist: ranks 1 .. size."""

    def expected_distinct(self, draws: float) -> float:
        """Expected distinct values in so many draws, summed over a logarithmic grid of ranks."""
        edges = np.unique(np.geomspace(1, self.size + 1, 500).astype(np.int64)).astype(np.float64)
        power = 1.0 - self.exponent
        mass = np.diff(edges**power) / ((self.size + 1.0) ** power - 1.0)
        count = np.diff(edges)
        return float((count * -np.expm1(-draws * mass / count)).sum())

    @classmethod
    def of(cls, feature: int, distinct: int, draws: float) -> Population:
        """As large as needed for about `distinct` values in `draws` draws, up to 4 times as many: then fewer occur."""
        return cls._smallest(feature, distinct, draws, distinct)

    @classmethod
    def showing(cls, feature: int, distinct: int, draws: float) -> Population:
        """The same, but where 4 times as many are not enough, the tail gets heavier until `distinct` values occur."""
        wanted = distinct - 0.5  # all values of a small column occur: that none be added
        first = cls._smallest(feature, distinct, draws, wanted)
        if first.expected_distinct(draws) >= wanted:
            return first
        low, high = 0.0, first.exponent
        for _ in range(50):
            exponent = (low + high) / 2
            enough = cls(exponent, first.size).expected_distinct(draws) >= wanted
            low, high = (exponent, high) if enough else (low, exponent)
        return cls(low, first.size)

    @classmethod
    def _smallest(cls, feature: int, distinct: int, draws: float, wanted: float) -> Population:
        exponent = _EXPONENTS[feature % len(_EXPONENTS)]
        low, high = distinct, _MOST * distinct
        while low < high:
            size = (low + high) // 2
            if cls(exponent, size).expected_distinct(draws) < wanted:
                low = size + 1
            else:
                high = size
        return cls(exponent, low)


class HeavyTail:
    """Draws from a population; which number stands for which rank depends on the seed."""

    def __init__(self, feature: int, seed: int, population: Population) -> None:
        self.population = population
        self._key = np.uint32(np.random.default_rng([seed, 2, feature]).integers(1 << 32))

    def ranks(self, uniform: np.ndarray) -> np.ndarray:
        """(B,) in [0, 1) -> (B,) int64 ranks from 0, the most frequent first."""
        return _rank(uniform, self.population.exponent, self.population.size)

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
