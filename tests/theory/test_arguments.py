"""What the theory refuses, and how it says so."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pocketrec import theory
from pocketrec.errors import UsageError
from pocketrec.theory import FrequencyProfile

BOUNDS = [theory.slots_for_norms, theory.slots_for_inner_products, theory.slots_for_entries, theory.slots_for_one_entry]
PROFILE = FrequencyProfile.from_counts(np.array([1]))


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("value", [0, 1, -0.1, 1.5, math.nan, "0.1", None])
def test_epsilon_and_delta_lie_between_0_and_1(bound, value):
    with pytest.raises(UsageError, match=r"epsilon must be a number in \(0, 1\), got"):
        bound([(10, 4)], value)
    with pytest.raises(UsageError, match=r"delta must be a number in \(0, 1\), got"):
        bound([(10, 4)], 0.1, value)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: theory.slots_for_norms([], 0.1), "tables must hold at least one"),
        (lambda: theory.slots_for_norms([(10, 4), (0, 4)], 0.1), "rows of table 1 must be at least 1, got 0"),
        (lambda: theory.slots_for_norms([(10, 2.5)], 0.1), "dim of table 0 must be a whole number, got 2.5"),
        (lambda: theory.epsilon_reached([(10, 4)], 0), "slots must be at least 1, got 0"),
        (lambda: theory.inner_product_variance([1, 2], [1, 2, 3], 4, 1), r"one shape .*\(2,\) and \(3,\)"),
        (lambda: theory.inner_product_variance([], [], 4, 1), "not empty"),
        (lambda: theory.inner_product_variance([1, math.nan], [1, 2], 4, 1), "finite"),
        (lambda: theory.inner_product_variance([1] * 8, [1] * 8, 3, 4), "slots must be at least 4, got 3"),
        (lambda: theory.inner_product_variance([1], [1], 4, 0), "chunk_size must be at least 1"),
        (lambda: theory.inner_product_variance([1], [1], 4, 1, signs="chunks"), "did you mean 'chunk'"),
        (lambda: theory.relative_error(0, 4, 1), "embedding_dim must be at least 1"),
        (lambda: theory.load_distribution(10, 8, 4), "elements must be a multiple of chunk_size=4, got 10"),
        (lambda: theory.load_distribution(8, 3, 4), "slots must be at least 4, got 3"),
        (lambda: theory.load_distribution(8, 3).pmf(-1), "load must be at least 0"),
        (lambda: theory.expected_largest_load(0, 3), "elements must be at least 1"),
        (lambda: theory.load_bounds(5, 3, 1), r"delta must be a number in \(0, 1\), got 1"),
        (lambda: theory.readout_inflation(1, 0), "slots must be at least 1"),
        (lambda: theory.sketch_error(10, 2, 4), "slots must be at least 4, got 2"),
        (lambda: FrequencyProfile.from_counts(np.array([1, -2])), "counts must be at least 0, got -2"),
        (lambda: FrequencyProfile.from_counts(np.array([1.0])), "counts must be whole numbers"),
        (lambda: FrequencyProfile.from_counts(np.array([[1]])), r"of shape \(1, 1\)"),
        (lambda: FrequencyProfile.from_counts(np.array([0, 0])), "no id was looked up"),
        (lambda: FrequencyProfile.from_counts(np.array([], np.int64)), "no id was looked up"),
        (lambda: FrequencyProfile.zipf(10, -1, 5), r"exponent must be a number in \[0, 5\], got -1"),
        (lambda: FrequencyProfile.zipf(0, 1, 5), "num_embeddings must be at least 1"),
        (lambda: FrequencyProfile.zipf(10, 1, 0), "lookups must be at least 1"),
        (lambda: PROFILE.ids_covering(0), r"share must be a number in \(0, 1\], got 0"),
        (lambda: theory.collision_mass([], 10, 4, 1), "profiles must hold at least one"),
        (lambda: theory.collision_mass([PROFILE], 7, 4, 4), "slots must be at least 8, got 7"),
        (lambda: theory.interference([PROFILE], 10, [4, 4]), "one number or one a table, got 2 for 1 tables"),
        (lambda: theory.interference([PROFILE], 0, 4), "slots must be at least 1, got 0"),
        (lambda: theory.own_share([PROFILE], 4, 8, 4), "slots must be at least 5, got 4"),
        (lambda: theory.active_load([PROFILE], 4, 8, 0), "batch_size must be at least 1, got 0"),
        (lambda: theory.identical_share(5, 3, 4, 4, align=4), "slots must be at least 4, got 3"),
    ],
)
def test_refusals_name_the_argument_the_rule_and_the_value(call, told):
    with pytest.raises(UsageError, match=told):
        call()
