"""Collision mass, interference, own share and twins, against what ids meet through the real kernels."""

from __future__ import annotations

import numpy as np
import pytest
from draws import agrees, places, repeated

from pocketrec import Robe
from pocketrec.theory import FrequencyProfile, active_load, collision_mass, identical_share, interference, own_share

DIMS = [6, 4]
COUNTS = [np.array([50, 20, 9, 4, 4, 1, 1, 1]), np.array([300, 2, 1])]
PROFILES = [FrequencyProfile.from_counts(counts) for counts in COUNTS]


def owners(slots: int, scheme: Robe, draw: int) -> list[np.ndarray]:
    """For each table, the slots of each row, (n, D)."""
    at, _ = places(np.arange(8) + 8 * draw, DIMS, slots, scheme)
    return [at[:8, :6], at[:3, 6:]]


def measured_mass(tables: list[np.ndarray], chunk: int) -> np.ndarray:
    """The share of each table's chunk reads, weighted, that touch a slot of another row."""
    rows = [(number, set(row)) for number, table in enumerate(tables) for row in table]
    masses, position = [], 0
    for table, counts in zip(tables, COUNTS, strict=True):
        bad = []
        for row in table:
            others = set().union(*(slots for place, (_, slots) in enumerate(rows) if place != position))
            pieces = [row[i : i + chunk] for i in range(0, len(row), chunk)]
            bad.append(np.mean([bool(others & set(piece)) for piece in pieces]))
            position += 1
        masses.append(np.average(bad, weights=counts))
    return np.array(masses)


@pytest.mark.parametrize(("chunk", "align"), [(1, 1), (4, 1), (16, 1), (4, 4), (2, 4), (4, 2)])
@pytest.mark.parametrize("slots", [128, 512])
def test_collision_mass(slots, chunk, align):
    scheme = Robe(chunk, align=align)
    found = np.array([measured_mass(owners(slots, scheme, draw), chunk) for draw in range(250)])
    expected = collision_mass(PROFILES, slots, DIMS, chunk, align=align)
    assert agrees(found[:, 0], expected[0])
    assert agrees(found[:, 1], expected[1])
    assert 0.02 < expected[0] < 0.98


def traffic(tables: list[np.ndarray], slots: int) -> np.ndarray:
    """Lookups that read each slot."""
    weights = [np.broadcast_to(counts[:, None], table.shape) for table, counts in zip(tables, COUNTS, strict=True)]
    flat = np.concatenate([table.ravel() for table in tables]), np.concatenate([w.ravel() for w in weights])
    return np.bincount(flat[0], flat[1], slots)


def foreign(tables: list[np.ndarray], slots: int) -> list[np.ndarray]:
    """For each element of each row, the lookups of other rows that read its slot."""
    everything, found = traffic(tables, slots), []
    for table, counts in zip(tables, COUNTS, strict=True):
        own = np.array([[f * (row == slot).sum() for slot in row] for row, f in zip(table, counts, strict=True)])
        found.append(everything[table] - own)
    return found


@pytest.mark.parametrize(("chunk", "align"), [(1, 1), (4, 1), (2, 2)])
@pytest.mark.parametrize("slots", [16, 128])
def test_interference_and_own_share(slots, chunk, align):
    draws = [foreign(owners(slots, Robe(chunk, align=align), draw), slots) for draw in range(250)]
    for number, counts in enumerate(COUNTS):
        found = np.array([draw[number] for draw in draws])
        own = counts[:, None].astype(float)
        disturbed = (own * found).sum((1, 2)) / (own**2).sum() / DIMS[number]
        assert agrees(disturbed, interference(PROFILES, slots, DIMS)[number])
        shares = (own * own / (own + found)).sum((1, 2)) / counts.sum() / DIMS[number]
        assert agrees(shares, own_share(PROFILES, slots, DIMS, chunk)[number])


def test_the_load_of_a_batch():
    """Two tables of 8 and 3 ids, batches of 5."""
    rng, at = np.random.default_rng(0), owners(32, Robe(2), 0)
    found = []
    for _ in range(500):
        rows = [np.unique(rng.choice(len(c), 5, p=c / c.sum())) for c in COUNTS]
        found.append(sum(table[ids].size for table, ids in zip(at, rows, strict=True)) / 32)
    assert agrees(np.array(found), active_load(PROFILES, 32, DIMS, 5))
    coin = FrequencyProfile.from_counts(np.array([7, 7]))
    assert active_load([coin], 3, 4, 2) == pytest.approx(2 * 4 * (1 - 1 / 4) / 3)
    assert active_load(PROFILES, 32, DIMS, 10**9) == pytest.approx((8 * 6 + 3 * 4) / 32)


@pytest.mark.parametrize("slots", [64, 4096])
def test_own_share_of_a_heavy_tail(slots):
    """Of 2,000 ids, through the kernel; far from what the mean of the foreign traffic alone would give."""
    counts = (10**5 / np.arange(1, 2001) ** 1.3).astype(np.int64) + 1
    profile, found = FrequencyProfile.from_counts(counts), []
    for at in repeated(60, 2000, 8, slots, Robe(1))[0]:
        own = np.repeat(counts[:, None], 8, 1)
        others = np.bincount(at.ravel(), own.ravel(), slots)[at] - own * (at[:, :, None] == at[:, None]).sum(2)
        found.append((own * own / (own + others)).sum() / own.sum())
    expected = own_share([profile], slots, 8)[0]
    assert np.mean(found) == pytest.approx(expected, rel=0.02)
    mean = (counts.sum() - counts) * 8 / slots
    assert expected > 1.1 * (counts * counts / (counts + mean)).sum() / counts.sum()


@pytest.mark.parametrize(("dim", "chunk", "align", "slots"), [(4, 4, 1, 30), (4, 2, 1, 6), (4, 4, 4, 40), (3, 2, 1, 5)])
def test_identical_rows(dim, chunk, align, slots):
    at, _ = repeated(1000, 12, dim, slots, Robe(chunk, align=align))
    same = (at[:, :, None] == at[:, None]).all(3)
    same[:, range(12), range(12)] = False
    expected = identical_share(12, slots, dim, chunk, align=align)
    assert agrees(same.any(2).mean(1), expected)
    assert 0.1 < expected < 0.9


def test_one_memory_of_one_place():
    assert identical_share(2, 1, 4, 4) == 1
    assert identical_share(1, 1, 4, 4) == 0


@pytest.mark.parametrize("chunk", [1, 4])
def test_under_the_linear_hash_many_ids_have_twins(chunk):
    """Of 300 ids far apart in 400 slots, where the mixing hash has none."""
    ids, shares = np.random.default_rng(0).integers(0, 1 << 40, 300), []
    for seed in range(20):
        at, _ = places(ids, [16], 400, Robe(chunk, hash="linear"), seed)
        _, repeats = np.unique(at, axis=0, return_counts=True)
        shares.append(repeats[repeats > 1].sum() / 300)
    assert np.mean(shares) > 0.05
    assert identical_share(300, 400, 16, chunk) < 1e-6
    assert len(np.unique(places(ids, [16], 400, Robe(chunk))[0], axis=0)) == 300


def test_criteo_tb_at_ten_thousand():
    """Everything collides there; how much traffic is foreign still tells tables of hot ids from tables of rare ones."""
    profiles = [FrequencyProfile.zipf(n, 1.05, 10**9) for n in (10, 10**4, 40_000_000)]
    assert collision_mass(profiles, 2_700_000, 128, 32) == [1.0, 1.0, 1.0]
    shares = own_share(profiles, 2_700_000, 128)
    assert shares[0] > 0.99 > shares[1] > shares[2]
