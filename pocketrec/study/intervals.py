"""Means over seeds and how sure they are: 95 % confidence intervals of Student's t."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_T = (
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281, 2.2010, 2.1788, 2.1604, 2.1448,
    2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860, 2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484,
    2.0452, 2.0423,
)  # fmt: skip
"""The 97.5 % quantile for 1, 2, ... degrees of freedom."""
_Z = 1.959964


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % confidence interval: mean +- `half_width`."""

    mean: float
    half_width: float | None
    """None for a single value, which says nothing of its spread."""
    count: int
    """Values averaged."""

    @property
    def low(self) -> float | None:
        """The lower end."""
        return None if self.half_width is None else self.mean - self.half_width

    @property
    def high(self) -> float | None:
        """The upper end."""
        return None if self.half_width is None else self.mean + self.half_width


def interval(values: Sequence[float]) -> Interval | None:
    """Of independent values, such as one per seed; None of none."""
    if not values:
        return None
    count = len(values)
    half = t_975(count - 1) * statistics.stdev(values) / math.sqrt(count) if count > 1 else None
    return Interval(statistics.fmean(values), half, count)


def paired_difference(own: Mapping[int, float], other: Mapping[int, float]) -> Interval | None:
    """Of own - other over the seeds (keys) they share: what a seed does to both cancels out."""
    return interval([own[seed] - other[seed] for seed in sorted(own.keys() & other.keys())])


def t_975(degrees: int) -> float:
    """The 97.5 % quantile of Student's t; beyond 30 degrees of freedom by the first terms of its expansion in 1/n
    (Abramowitz & Stegun 26.7.5)."""
    if degrees <= len(_T):
        return _T[degrees - 1]
    return _Z + (_Z**3 + _Z) / (4 * degrees) + (5 * _Z**5 + 16 * _Z**3 + 3 * _Z) / (96 * degrees**2)
