"""Memory that suffices: the error stays under epsilon in at least 1 - delta of the draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from draws import repeated, sketched

from pocketrec import Robe, hashing
from pocketrec.theory import (
    epsilon_reached,
    slots_for_entries,
    slots_for_inner_products,
    slots_for_norms,
    slots_for_one_entry,
)

EPSILON, DELTA = 0.5, 0.1
ALL = [slots_for_norms, slots_for_inner_products, slots_for_entries, slots_for_one_entry]


def heavy_columns(rows: int, dim: int) -> np.ndarray:
    """A table with columns of large and small entries."""
    rng = np.random.default_rng(1)
    return rng.standard_normal((rows, dim)) * rng.pareto(1.5, (rows, 1))


def dense_sketches(length: int, table: np.ndarray, draws: int):
    """S and S E of draws of +-1/sqrt(k), a row a hash."""
    for draw in range(draws):
        S = np.random.default_rng([7, draw]).choice([-1.0, 1.0], (length, len(table))) / math.sqrt(length)
        yield S, S @ table


def share_of_bad_norms(table: np.ndarray, length: int, draws: int = 150) -> float:
    norms = (table**2).sum(0)
    worst = [abs((SE**2).sum(0) / norms - 1).max() for _, SE in dense_sketches(length, table, draws)]
    return np.mean(np.array(worst) > EPSILON)


def test_norms_of_all_columns_are_kept():
    table = heavy_columns(1000, 6)
    length = slots_for_norms([table.shape], EPSILON, DELTA) // 6
    assert length < 1000
    assert share_of_bad_norms(table, length) <= DELTA
    assert share_of_bad_norms(table, length // 16) > DELTA, "else the test could not fail"


def share_of_bad_products(table: np.ndarray, length: int, draws: int = 60) -> float:
    norms = np.linalg.norm(table, axis=0)
    bad = 0
    for S, SE in dense_sketches(length, table, draws):
        entries = abs(S.T @ SE - table) / norms
        columns = abs(SE.T @ SE - table.T @ table) / np.outer(norms, norms)
        bad += max(entries.max(), columns.max()) > EPSILON
    return bad / draws


def test_every_entry_and_product_of_columns_is_kept_at_once():
    table = heavy_columns(1500, 3)
    length = slots_for_inner_products([table.shape], EPSILON, DELTA) // 3
    assert length < 1500
    assert share_of_bad_products(table, length) <= DELTA
    assert share_of_bad_products(table, length // 8) > DELTA, "else the test could not fail"


def test_a_median_of_hashes_keeps_every_entry():
    """Buckets and signs from the mixing hash, the number of the hash in place of the chunk."""
    table, draws, bad = heavy_columns(2000, 2), 60, 0
    buckets = math.ceil(8 / EPSILON**2)
    hashes = slots_for_entries([table.shape], EPSILON, DELTA) // 2 // buckets
    assert slots_for_entries([table.shape], EPSILON, DELTA) == 2 * hashes * buckets < table.size
    for draw in range(draws):
        hashed = hashing.mixing_hash(np.arange(2000)[:, None], np.arange(hashes), hashing.mixing_key(draw, 0))
        at, signs = hashing.scale(hashed, buckets), hashing.chunk_sign(hashed)
        for column in table.T:
            stored = sketched(column[:, None], at.T[:, :, None], signs.T[:, :, None], buckets)
            read = np.median(signs.T * np.take_along_axis(stored, at.T, 1), axis=0)
            bad += abs(read - column).max() > EPSILON * np.linalg.norm(column)
    assert bad / draws <= DELTA


def test_one_hash_keeps_a_share_of_the_entries():
    """Through the kernel. Heavy entries, so that the error is far from normal."""
    table = heavy_columns(500, 1)
    slots = slots_for_one_entry([(500, 1)], EPSILON, DELTA)
    assert slots == 40
    at, signs = repeated(200, 500, 1, slots, Robe(1, signed=True))
    stored = sketched(table, at, signs, slots)
    read = signs[:, :, 0] * np.take_along_axis(stored, at[:, :, 0], 1)
    bad = abs(read - table[:, 0]) > EPSILON * np.linalg.norm(table)
    assert bad.mean() <= DELTA
    assert bad.any(1).mean() > DELTA, "one hash does not keep all entries at once"


def test_constants_by_hand():
    """epsilon = 1/2: epsilon^2/2 - epsilon^3/3 is 1/12. Two tables: the short one is kept as it is."""
    tables = [(10**6, 4), (20, 8)]
    assert slots_for_norms(tables, 0.5, 0.1) == 4 * math.ceil(24 * math.log(2 * 12 / 0.1)) + 20 * 8
    pairs = 4 * 10**6 + 10 + 160 + 36
    assert slots_for_inner_products(tables, 0.5, 0.1) == 4 * math.ceil(24 * math.log(4 * pairs / 0.1)) + 20 * 8
    assert slots_for_one_entry(tables, 0.5, 0.1) == 4 * 40 + 20 * 8


def test_memory_grows_with_the_logarithm_of_the_rows():
    """The abstract's "exponentially fewer", in this reading; norms do not even ask how many rows there are."""
    few, many = ([(rows, 16)] for rows in (10**5, 10**10))
    assert slots_for_inner_products(many, 0.3) < 2 * slots_for_inner_products(few, 0.3)
    assert slots_for_norms(many, 0.3) == slots_for_norms(few, 0.3)


@pytest.mark.parametrize("slots_for", ALL)
def test_epsilon_reached_inverts_the_bound(slots_for):
    tables = [(10**7, 16), (10**4, 8)]
    for epsilon in (0.9, 0.3, 0.05):
        slots = slots_for(tables, epsilon)
        reached = epsilon_reached(tables, slots, slots_for=slots_for)
        assert slots_for(tables, reached) <= slots < slots_for(tables, reached * (1 - 1e-3))
        assert reached <= epsilon * (1 + 1e-6)
    assert epsilon_reached(tables, 10, slots_for=slots_for) is None
    assert epsilon_reached(tables, 16 * 10**7 + 8 * 10**4, slots_for=slots_for) == 0
