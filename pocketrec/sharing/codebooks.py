"""Levels for a standard normal that lose the least in the mean square (Lloyd 1957; Max, IRE Trans. IT 6, 1960).

They are a part of the recipe, not of what is stored: every number of bits has the same levels everywhere.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

MAX_BITS = 7
_STEPS = 8


@cache
def levels(bits: int) -> Tensor:
    """(2 ** bits,) ascending, in float64; of 0 bits the mean, 0."""
    spread = torch.special.ndtri((torch.arange(1 << bits, dtype=torch.float64) + 0.5) / (1 << bits)) * math.sqrt(3)
    for _ in range(_STEPS):
        centroids, slope = _centroids(spread)
        spread = spread - torch.linalg.solve(torch.eye(len(spread), dtype=torch.float64) - slope, spread - centroids)
    return (spread - spread.flip(0)) / 2


@cache
def thresholds(bits: int) -> Tensor:
    """(2 ** bits - 1,) between which the nearest level is another."""
    own = levels(bits)
    return (own[1:] + own[:-1]) / 2


@cache
def distortion(bits: int) -> float:
    """The mean square error of a standard normal."""
    own = levels(bits)
    return float(1 - (_probabilities(own)[0] * own * own).sum())


def all_levels() -> Tensor:
    """Those of 0, 1, ... `MAX_BITS` bits, one after the other: the levels of b bits begin at 2 ** b - 1."""
    return torch.cat([levels(bits) for bits in range(MAX_BITS + 1)]).float()


def _probabilities(own: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each level's cell; the edges of the cells, and the density there, 0 at the infinite ones."""
    edges = (own[1:] + own[:-1]) / 2
    ends = edges.new_tensor([0.0, 1.0])
    below = torch.cat([ends[:1], torch.special.ndtr(edges), ends[1:]])
    density = torch.exp(-edges * edges / 2) / math.sqrt(2 * math.pi)
    zero = edges.new_zeros(1)
    return below.diff(), torch.cat([zero, edges, zero]), torch.cat([zero, density, zero])


def _centroids(own: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of each level's cell, and its derivative by the levels: best levels are their cells' means."""
    probability, edges, density = _probabilities(own)
    means = -density.diff() / probability
    lower = density[:-1] * (means - edges[:-1]) / probability / 2
    upper = density[1:] * (edges[1:] - means) / probability / 2
    return means, torch.diag(lower + upper) + torch.diag(upper[:-1], 1) + torch.diag(lower[1:], -1)
