"""Slot loads, against draws of where the kernels put elements."""

from __future__ import annotations

import math

import numpy as np
import pytest
from draws import agrees, loads, places, repeated

from pocketrec import Robe
from pocketrec.theory import (
    expected_largest_load,
    expected_occupied_slots,
    least_squares_error,
    load_bounds,
    load_distribution,
    sketch_error,
)


@pytest.mark.parametrize(("elements", "chunk", "slots"), [(60, 1, 7), (60, 3, 7), (12, 4, 4), (1, 1, 9), (30, 2, 100)])
def test_the_probabilities_are_binomial(elements, chunk, slots):
    load, n, p = load_distribution(elements, slots, chunk), elements // chunk, chunk / slots
    exact = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    assert [load.pmf(k) for k in range(n + 1)] == pytest.approx(exact, abs=1e-13)
    assert load.pmf(n + 1) == 0
    assert load.mean == pytest.approx(n * p)
    assert load.variance == pytest.approx(n * p * (1 - p))


@pytest.mark.parametrize(("chunk", "align"), [(1, 1), (4, 1), (4, 4), (8, 1)])
def test_every_slot_has_that_load(chunk, align):
    """800 elements in 96 slots, 400 draws: moments, and the share of slots of each load."""
    found = loads(repeated(400, 100, 8, 96, Robe(chunk, align=align))[0], 96)
    load = load_distribution(800, 96, chunk)
    assert (found.mean(1) == 800 / 96).all()
    assert agrees(((found - load.mean) ** 2).mean(1), load.variance)
    for k in (3, 8, 12):
        assert agrees((found == k).mean(1), load.pmf(k))


@pytest.mark.parametrize(("rows", "slots"), [(25, 1000), (100, 100), (1000, 64)])
def test_the_largest_load_and_the_slots_in_use(rows, slots):
    found = loads(repeated(400, rows, 8, slots, Robe(1))[0], slots)
    largest = found.max(1)
    assert largest.mean() == pytest.approx(expected_largest_load(8 * rows, slots), rel=0.03)
    assert agrees((found > 0).sum(1), expected_occupied_slots(8 * rows, slots)) or (found > 0).all()


@pytest.mark.parametrize("chunk", [1, 8])
def test_loads_stay_within_their_bounds(chunk):
    found = loads(repeated(400, 400, 8, 64, Robe(chunk))[0], 64)
    least, most = load_bounds(3200, 64, 0.1)
    outside = (found.min(1) < least) | (found.max(1) > most)
    assert outside.mean() <= 0.1
    inside = (found.min(1) > least + 8) & (found.max(1) < most - 8)
    assert inside.mean() < 0.5, "else the bounds would be far too wide"


def test_large_numbers():
    """Criteo-TB at 10,000x: 24 billion elements. The fullest slot lies five deviations above the mean."""
    load = load_distribution(24 * 10**9, 2_700_000)
    assert load.window[1].sum() == pytest.approx(1)
    largest = expected_largest_load(24 * 10**9, 2_700_000)
    assert 4.5 < (largest - load.mean) / math.sqrt(load.variance) < 5.5
    assert expected_largest_load(10**6, 1) == 10**6


def test_a_linear_hash_spreads_consecutive_ids_better_than_chance():
    """Most draws, not all: where the factor is unlucky, ids pile up. The mixing hash does what chance does."""
    rows, dim, slots = 2000, 16, 2700
    chance = load_distribution(rows * dim, slots, 4).variance

    def variances(name: str) -> list[float]:
        at = [places(np.arange(rows), [dim], slots, Robe(4, hash=name), seed)[0] for seed in range(24)]
        return [np.bincount(a.ravel(), minlength=slots).var() for a in at]

    linear = variances("linear")
    assert np.median(linear) < chance / 3
    assert np.mean(np.array(linear) < chance) > 0.8
    assert np.mean(variances("mixing")) == pytest.approx(chance, rel=0.1)


@pytest.mark.parametrize("chunk", [1, 4, 8])
def test_reading_a_table_back_from_a_sketch(chunk):
    """Small, so that a chunk is a good part of it."""
    tables, slots, draws = np.random.default_rng(0).standard_normal((5000, 4, 8)), 20, 5000
    at, signs = repeated(draws, 4, 8, slots, Robe(chunk, signed=True))
    cells = at + slots * np.arange(draws)[:, None, None]
    stored = np.bincount(cells.ravel(), (signs * tables).ravel(), draws * slots)
    errors = ((signs * stored[cells] - tables) ** 2).mean((1, 2))
    assert agrees(errors, sketch_error(32, slots, chunk) ** 2)


def test_the_best_memory_for_a_given_table():
    """Each slot the mean of its elements."""
    rng, rows, slots = np.random.default_rng(0), 60, 240
    at, signs = repeated(300, rows, 8, slots, Robe(1, signed=True))
    errors = []
    for a, s in zip(at, signs, strict=True):
        table = rng.standard_normal(a.shape)
        sums = np.bincount(a.ravel(), (s * table).ravel(), slots)
        means = sums / np.maximum(np.bincount(a.ravel(), minlength=slots), 1)
        errors.append(((s * means[a] - table) ** 2).sum() / table.size)
    assert agrees(np.array(errors), least_squares_error(8 * rows, slots) ** 2)
    assert least_squares_error(10**6, 10**9) == pytest.approx(math.sqrt(1e-3 / 2), rel=1e-3)
