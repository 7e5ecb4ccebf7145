"""Frequency profiles."""

from __future__ import annotations

import numpy as np
import pytest

from pocketrec.data.tails import HeavyTail, Population
from pocketrec.theory import FrequencyProfile


def test_from_counts():
    profile = FrequencyProfile.from_counts(np.array([3, 1, 0, 1, 7, 3, 1]))
    assert profile.counts.tolist() == [1, 3, 7]
    assert profile.ids.tolist() == [3, 2, 1]
    assert (profile.distinct, profile.lookups) == (6, 16)
    assert profile.counts.dtype == profile.ids.dtype == np.int64
    assert profile.shares.tolist() == [3 / 16, 6 / 16, 7 / 16]


def test_ids_covering_a_share():
    counts = np.random.default_rng(0).zipf(1.5, 500).clip(max=1000)
    profile, reached = FrequencyProfile.from_counts(counts), np.cumsum(np.sort(counts)[::-1])
    for share in (1e-6, 0.2, 0.5, 0.93, 1.0):
        assert profile.ids_covering(share) == np.searchsorted(reached, share * reached[-1]) + 1


@pytest.mark.parametrize("feature", [0, 1, 2])
def test_zipf_is_the_synthetic_log(feature):
    """Exponents 0.75, 0.9 and 1.05: distinct ids, ids seen once, the hottest id, how few take half of the lookups."""
    lookups = 200_000
    population = Population.of(feature, 30_000, lookups)
    ranks = HeavyTail(feature, 0, population).ranks(np.random.default_rng(0).random(lookups))
    drawn = FrequencyProfile.from_counts(np.bincount(ranks))
    expected = FrequencyProfile.zipf(population.size, population.exponent, lookups)
    assert expected.lookups == pytest.approx(lookups, rel=0.01)
    assert expected.distinct == pytest.approx(drawn.distinct, rel=0.02)
    assert expected.ids[0] == pytest.approx(drawn.ids[0], rel=0.02)
    assert expected.counts[-1] == pytest.approx(drawn.counts[-1], rel=0.05)
    assert expected.ids_covering(0.5) == pytest.approx(drawn.ids_covering(0.5), rel=0.03)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize(("rows", "lookups"), [(1, 1), (1, 10**9), (1000, 1), (10, 1000), (10**6, 10**4)])
def test_zipf_of_every_size(rows, lookups, exponent):
    profile = FrequencyProfile.zipf(rows, exponent, lookups)
    assert profile.lookups == pytest.approx(lookups, rel=0.01, abs=6)
    assert 1 <= profile.distinct <= rows
    assert (np.diff(profile.counts) > 0).all()
    assert (profile.ids > 0).all()


def test_large_tables_take_little():
    profile = FrequencyProfile.zipf(10**9, 1.05, 4 * 10**9)
    assert len(profile.counts) < 3000
    assert profile.lookups == pytest.approx(4 * 10**9, rel=0.001)
