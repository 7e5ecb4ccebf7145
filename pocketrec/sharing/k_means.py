"""k-means: k-means++ (Arthur & Vassilvitskii, SODA 2007), then Lloyd's iterations, in bounded memory and time."""

from __future__ import annotations

import torch
from torch import Tensor

_ITERATIONS = 10
_DRAWS = 256
"""Rounds of k-means++: with more centroids than this, several are drawn at once."""
_CANDIDATES = 16
"""Points for each centroid to draw from."""
_REJECTED = 3
"""Drawn beside each, of which the one that leaves least is taken."""
_DISTANCES = 1 << 19
"""Held at once, so few that a processor keeps them in its cache."""


def k_means(points: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Centroids (k, w) of points (n, w), n >= k, in at least float32; the same for the same generator."""
    centroids, previous = _spread(points, k, generator), None
    for _ in range(_ITERATIONS):
        index, distance = nearest(points, centroids)
        if previous is not None and torch.equal(index, previous):
            break
        centroids, previous = _means(points, index, distance, k), index
    return centroids


def nearest(points: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """Of each point (n, w): the centroid nearest to it, the first of equals, and the squared distance."""
    middle = centroids.mean(0)  # taken away first, so that squares cancel less
    centroids = centroids - middle
    # (x, 1) . (-2 c, |c|^2) is the squared distance but for |x|^2, which is the same for all centroids.
    factors = torch.cat([-2 * centroids, centroids.square().sum(1, keepdim=True)], 1).T
    found = []
    for block in points.split(max(1, _DISTANCES // len(centroids))):
        block = block - middle
        distance, index = torch.mm(torch.cat([block, torch.ones_like(block[:, :1])], 1), factors).min(1)
        found.append((index, distance + block.square().sum(1)))
    indices, distances = zip(*found, strict=True)
    return torch.cat(indices), torch.cat(distances).clamp(min=0)


def _spread(points: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """k of the points, far from each other: drawn in proportion to the squared distance to those drawn before."""
    at_once = -(-k // _DRAWS)
    if len(points) > _CANDIDATES * k:
        points = points[torch.randint(len(points), (_CANDIDATES * k,), generator=generator, device=points.device)]
    first = torch.randint(len(points), (1,), generator=generator, device=points.device)
    chosen, distance = points[first], (points - points[first]).square().sum(1)
    while len(chosen) < k:
        wanted = min(at_once, k - len(chosen))
        # The first of exponential clocks to ring, each at its own rate, is a draw in proportion to the rates.
        race = distance / torch.empty_like(distance).exponential_(generator=generator)
        drawn = points[race.topk(min(wanted + _REJECTED, len(points))).indices]
        apart = torch.cdist(points, drawn, compute_mode="donot_use_mm_for_euclid_dist").square()
        left = torch.minimum(distance[:, None], apart)
        best = left.sum(0).topk(wanted, largest=False).indices
        chosen, distance = torch.cat([chosen, drawn[best]]), left[:, best].amin(1)
    return chosen


def _means(points: Tensor, index: Tensor, distance: Tensor, k: int) -> Tensor:
    """The mean of each cluster; an empty one moves to a point that is far from its centroid."""
    counts = torch.bincount(index, minlength=k)
    sums = torch.zeros(k, points.shape[1], dtype=torch.float64, device=points.device)
    if points.is_cuda:  # each adds in one order where it is used, the other would not
        sums.index_put_((index,), points.double(), accumulate=True)
    else:
        sums.index_add_(0, index, points.double())
    means = (sums / counts.clamp(min=1)[:, None]).to(points.dtype)
    empty = (counts == 0).nonzero()[:, 0]
    means[empty] = points[distance.topk(len(empty)).indices]
    return means
