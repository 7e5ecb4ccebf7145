"""Slot loads: how many elements of the virtual tables one slot serves (balls in bins)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pocketrec.errors import UsageError, real_number, whole_number

_WINDOW = 12
"""Standard deviations from the mean beyond which a load is taken to be impossible (and 40 loads more)."""


@dataclass(frozen=True)
class LoadDistribution:
    """The load of one slot: Binomial(`chunks`, Z/M), for each chunk covers Z of M slots, wherever it starts.

    *Others*: balls in bins. *Derived*: that Z leaves the distribution of one slot nearly as it is (only neighbours then
    have nearly the same load), whether chunks are aligned or not. Exact for independent starts: the mixing hash.
    """

    chunks: int
    chunk_size: int
    slots: int

    @property
    def mean(self) -> float:
        """N/M."""
        return self.chunks * self.chunk_size / self.slots

    @property
    def variance(self) -> float:
        """N/M (1 - Z/M)."""
        return self.mean * (1 - self.chunk_size / self.slots)

    @cached_property
    def window(self) -> tuple[np.ndarray, np.ndarray]:
        """The loads that matter, in order, and the probability of each."""
        if self.chunk_size == self.slots:
            return np.array([self.chunks]), np.ones(1)
        reach = _WINDOW * math.sqrt(self.variance) + 40
        loads = np.arange(max(0, math.floor(self.mean - reach)), min(self.chunks, math.ceil(self.mean + reach)) + 1)
        # Of the next load to this one; in Python's integers, since chunks may be many.
        odds = self.chunk_size / (self.slots - self.chunk_size)
        steps = np.log((self.chunks - loads[:-1]) * odds / (loads[:-1] + 1))
        logs = np.concatenate([[0.0], np.cumsum(steps)])
        weights = np.exp(logs - logs.max())
        return loads, weights / weights.sum()

    def pmf(self, load: int) -> float:
        """The probability that a slot serves just so many elements."""
        loads, probabilities = self.window
        place = whole_number("load", load, at_least=0) - int(loads[0])
        return float(probabilities[place]) if 0 <= place < len(loads) else 0.0

    @property
    def above(self) -> np.ndarray:
        """The probability of more than each load of the window."""
        return np.append(np.cumsum(self.window[1][:0:-1])[::-1], 0.0)

    @property
    def below(self) -> np.ndarray:
        """The probability of less than each load of the window."""
        return np.append(0.0, np.cumsum(self.window[1][:-1]))


def load_distribution(elements: int, slots: int, chunk_size: int = 1) -> LoadDistribution:
    """The load of one slot when so many elements, in whole chunks, are hashed into so many slots.

    Raises:
        UsageError: an argument below 1, a chunk longer than the memory, elements that are not whole chunks.
    """
    chunk = whole_number("chunk_size", chunk_size, at_least=1)
    elements = whole_number("elements", elements, at_least=1)
    if elements % chunk:
        raise UsageError(f"elements must be a multiple of chunk_size={chunk}, got {elements}")
    return LoadDistribution(elements // chunk, chunk, whole_number("slots", slots, at_least=chunk))


def expected_largest_load(elements: int, slots: int) -> float:
    """The expected load of the fullest slot: sum over k of 1 - P(load <= k)^M.

    *Others*: balls in bins (Raab & Steger, RANDOM 1998, for its growth). The loads are taken as independent; they are
    negatively associated (Joag-Dev & Proschan 1983), so this is a lower estimate, but hardly below. Where chunks are
    long it is above, as neighbours agree.
    """
    load = load_distribution(elements, slots)
    exceeded = -np.expm1(slots * np.log1p(-np.minimum(load.above, 1 - 1e-16)))
    return max(float(load.window[0][0] + exceeded.sum()), float(-(-elements // slots)))


def load_bounds(elements: int, slots: int, delta: float = 0.05) -> tuple[int, int]:
    """(least, most): every slot's load lies between them with probability 1 - delta, chunks of any size.

    *Others*: a union over the slots, of exact binomial tails, delta/2 a side.
    """
    share = real_number("delta", delta, "(0, 1)") / 2 / slots
    load = load_distribution(elements, slots)
    loads = load.window[0]
    most = loads[np.argmax(load.above <= share)]
    least = loads[np.flatnonzero(load.below <= share)[-1]]
    return int(least), int(most)
