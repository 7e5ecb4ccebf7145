"""Tiers of a table's rows, and what there is to know of each: weight, mean and second moments."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pocketrec.compress.trained import Trained
from pocketrec.errors import UsageError

UNSEEN = 0.5
"""Times that a row counts as seen which never was in training."""


@dataclass(frozen=True)
class Moments:
    """Of I tiers of a table, summed over rows, each with its weight; in float64."""

    first_rows: Tensor
    """(I,) int64."""
    rows: Tensor
    """(I,) int64: how many."""
    weight: Tensor
    """(I,)"""
    first: Tensor
    """(I, D)"""
    second: Tensor
    """(I, D, D)"""

    def merged(self, count: int) -> Moments:
        """So many neighbouring tiers in one, but for the first, which is row 0 alone; the last are full."""
        number = len(self.rows)
        if number < 3 or count == 1:
            return self
        from_the_end = torch.arange(number - 1).flip(0) // count
        group = torch.cat([torch.zeros(1, dtype=torch.int64), 1 + from_the_end.max() - from_the_end])
        groups = int(group[-1]) + 1

        def summed(values: Tensor) -> Tensor:
            return values.new_zeros(groups, *values.shape[1:]).index_add_(0, group, values)

        rows = summed(self.rows)
        return Moments(rows.cumsum(0) - rows, rows, *(summed(t) for t in (self.weight, self.first, self.second)))

    def of(self, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted mean and variance (I, K) of the rows' products with `directions` (D, K)."""
        mean = self.first @ directions / self.weight[:, None]
        square = ((self.second @ directions) * directions).sum(1) / self.weight[:, None]
        return mean, (square - mean * mean).clamp(min=0)


def first_rows_of_tiers(name: str, counts: Tensor | None, rows: int, ratio: float) -> list[int]:
    """Where tiers begin: row 0, which may serve all that have no row of their own; then counts within `ratio`.

    Raises:
        UsageError: counts that are not as many as rows, not numbers of at least 0, or that rise.
    """
    if counts is None:
        return [0]
    if counts.shape != (rows,):
        raise UsageError(f"counts: of table {name!r} must be {rows} numbers, got shape {tuple(counts.shape)}")
    if not bool((torch.isfinite(counts) & (counts >= 0)).all()):
        raise UsageError(f"counts: of table {name!r} must be numbers of at least 0")
    own = counts[1:].double()
    if bool((own.diff() > 0).any()):
        row = int((own.diff() > 0).nonzero()[0]) + 2
        raise UsageError(
            f"counts: of table {name!r} rise at row {row}: order the vocabulary by count (pocketrec train --ids "
            "ranked), or leave counts out"
        )
    starts, rising, place = {0}, own.flip(0), 0
    while place < len(rising):
        least = float(rising[place])
        most = max(least, math.ceil(max(least, UNSEEN) * ratio) - 1)
        place = int(torch.searchsorted(rising, most, right=True))
        starts.add(rows - place)
    return sorted(starts)


def moments(
    trained: Trained,
    first_rows: Sequence[int],
    weights: Callable[[Tensor], Tensor],
    rows_at_once: int,
    advance: Callable[[int], object],
) -> Moments:
    """Of a table's tiers; `weights` of rows (k,) float64, by their ids."""
    rows, dim = trained.weight.shape
    firsts = torch.tensor(first_rows, device=trained.weight.device)
    number = len(firsts)
    sums = [
        torch.zeros(number, *shape, dtype=torch.float64, device=firsts.device) for shape in ((), (dim,), (dim, dim))
    ]
    for ids, block in trained.blocks(rows_at_once):
        tiers = torch.searchsorted(firsts, ids, right=True) - 1
        for tier in tiers.unique_consecutive().tolist():
            own = tiers == tier
            weight, values = weights(ids[own]), block[own].double()
            weighted = values * weight[:, None]
            for total, part in zip(sums, (weight.sum(), weighted.sum(0), weighted.T @ values), strict=True):
                total[tier] += part
        advance(len(ids))
    ends = torch.cat([firsts[1:], firsts.new_tensor([rows])])
    return Moments(*(t.cpu() for t in (firsts, ends - firsts, *sums)))
