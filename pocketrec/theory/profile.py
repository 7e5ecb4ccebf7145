"""How often the ids of a table are looked up: what collisions are weighted by."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pocketrec.errors import UsageError, real_number, whole_number

_FEW = 50.0
"""Expected lookups up to which an id's count is spread as Poisson says; above, it is its mean, rounded."""
_LARGEST_COUNT = 120
"""Of the ids of at most `_FEW`: nine standard deviations more."""


@dataclass(frozen=True, eq=False)
class FrequencyProfile:
    """A histogram: `ids[i]` ids of a table were looked up `counts[i]` times each. Ids never seen are left out.

    Tables of any size take a few thousand numbers.
    """

    counts: np.ndarray
    """(K,) int64, ascending, from 1."""
    ids: np.ndarray
    """(K,) int64, from 1."""

    @classmethod
    def from_counts(cls, counts: ArrayLike) -> FrequencyProfile:
        """From one count for each id, (n,); zeros are ids never seen.

        Raises:
            UsageError: counts that are not whole numbers, in one dimension, at least 0; or all of them 0.
        """
        counts = np.asarray(counts)
        if counts.ndim != 1 or not np.issubdtype(counts.dtype, np.integer):
            raise UsageError(f"counts must be whole numbers, one an id, got {counts.dtype} of shape {counts.shape}")
        if counts.size and counts.min() < 0:
            raise UsageError(f"counts must be at least 0, got {counts.min()}")
        if not counts.any():
            raise UsageError("counts: no id was looked up: a profile needs a lookup")
        values, ids = np.unique(counts[counts > 0], return_counts=True)
        return cls(values.astype(np.int64), ids.astype(np.int64))

    @classmethod
    def zipf(cls, num_embeddings: int, exponent: float, lookups: int) -> FrequencyProfile:
        """What to expect of `lookups` draws of ids whose rank r <= `num_embeddings` has probability ~ r ** -exponent.

        Probabilities are integrals over [r, r+1), as in `pocketrec synth`. Numbers of ids are expectations in whole
        ids, so that `lookups` is met within a percent, or a few lookups. Cheap whatever the number of rows.

        Raises:
            UsageError: fewer than one row or lookup, an exponent outside [0, 5].
        """
        rows = whole_number("num_embeddings", num_embeddings, at_least=1)
        number = whole_number("lookups", lookups, at_least=1)
        ids, means = _expected_counts(rows, real_number("exponent", exponent, "[0, 5]"), number)
        often = means > _FEW
        few, few_ids = _spread(ids[~often], means[~often].clip(1e-300))
        counts = np.concatenate([few, np.rint(means[often])]).astype(np.int64)
        every = np.concatenate([few_ids, ids[often]]).astype(np.int64)
        if not every.any():
            counts, every = np.array([1]), np.array([number])
        values, places = np.unique(counts, return_inverse=True)
        merged = np.zeros(len(values), np.int64)
        np.add.at(merged, places, every)
        return cls(values[merged > 0], merged[merged > 0])

    @property
    def lookups(self) -> int:
        """Of all ids together."""
        return int(self.counts @ self.ids)

    @property
    def distinct(self) -> int:
        """Ids that were looked up at least once."""
        return int(self.ids.sum())

    @property
    def shares(self) -> np.ndarray:
        """(K,) of all lookups, those to ids of each count."""
        return self.counts * self.ids / self.lookups

    def ids_covering(self, share: float) -> int:
        """The fewest ids that take this share of the lookups, (0, 1]."""
        wanted = real_number("share", share, "(0, 1]") * self.lookups
        counts, ids = self.counts[::-1], self.ids[::-1]
        taken = np.cumsum(counts * ids)
        place = int(np.searchsorted(taken, math.floor(wanted)))
        before = int(taken[place - 1]) if place else 0
        return int(ids[:place].sum()) + math.ceil((wanted - before) / int(counts[place]))


def _expected_counts(rows: int, exponent: float, lookups: int) -> tuple[np.ndarray, np.ndarray]:
    """Ranks in about 2,000 groups, single ones at the head: how many each holds, and the mean lookups of one id."""
    edges = np.unique(np.geomspace(1, rows + 1, 2000).astype(np.int64)).astype(np.float64)
    power = 1.0 - exponent
    reached = np.log(edges) if power == 0 else (edges**power - 1) / power
    size = np.diff(edges)
    return size, lookups * np.diff(reached) / reached[-1] / size


def _spread(ids: np.ndarray, means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts, descending, and how many ids are expected to have each, in whole ids; an id's count is Poisson."""
    counts = np.arange(1, _LARGEST_COUNT + 1)
    log_factorials = np.cumsum(np.log(counts))
    logs = counts * np.log(means)[:, None] - means[:, None] - log_factorials
    expected = (ids[:, None] * np.exp(logs)).sum(0)[::-1]
    # Rounding sums, what one count loses the next one gets.
    return counts[::-1], np.diff(np.rint(np.cumsum(expected)), prepend=0)
