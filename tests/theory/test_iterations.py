"""Steps and iterations: the limits of gradient descent through the real lookups and their gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from draws import loads, repeated

from pocketrec import Embedding, Robe
from pocketrec.theory import expected_largest_load, largest_stable_step_ratio, readout_inflation, retuned_inflation


def recovery_map(at: np.ndarray, signs: np.ndarray, slots: int) -> np.ndarray:
    """R, (N, M), of one draw."""
    R = np.zeros((at.size, slots))
    R[np.arange(at.size), at.ravel()] = signs.ravel()
    return R


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("chunk", [1, 3, 8])
def test_the_norm_of_the_recovery_map_is_the_largest_load(chunk, signed):
    at, signs = repeated(3, 20, 8, 30, Robe(chunk, signed=signed))
    for a, s, load in zip(at, signs, loads(at, 30), strict=True):
        R = recovery_map(a, s, 30)
        assert np.linalg.norm(R @ R.T, 2) == pytest.approx(load.max(), rel=1e-12)
        assert np.array_equal(R.T @ R, np.diag(load))


def descended(step: float, slots: int, steps: int = 200) -> tuple[float, float]:
    """|E - target|^2 / 2 after full gradient descent with so much of a step over the largest load; the least of it."""
    ids = torch.arange(200)
    at, signs = repeated(1, 200, 8, slots, Robe(4, signed=True))
    torch.manual_seed(0)
    table = Embedding(200, 8, sharing=Robe(4, signed=True), memory_size=slots, dtype=torch.float64)
    target = torch.randn(200, 8, dtype=torch.float64)
    R = torch.from_numpy(recovery_map(at[0], signs[0], slots))
    best = R @ torch.linalg.lstsq(R, target.flatten()[:, None], driver="gelsd").solution
    optimizer = torch.optim.SGD(table.parameters(), lr=step / int(loads(at, slots).max()))
    for _ in range(steps):
        optimizer.zero_grad()
        loss = ((table(ids) - target) ** 2).sum() / 2
        loss.backward()
        optimizer.step()
    return loss.item(), ((best.flatten() - target.flatten()) ** 2).sum().item() / 2


@pytest.mark.parametrize("slots", [40, 400])
def test_steps_are_stable_up_to_two_over_the_largest_load(slots):
    loss, best = descended(1.95, slots)
    assert loss == pytest.approx(best, rel=1e-3)
    assert descended(2.05, slots)[0] > 100 * best


def test_the_step_ratio_is_one_over_the_load():
    largest = loads(repeated(200, 200, 8, 40, Robe(1))[0], 40).max(1)
    assert np.mean(1 / largest) == pytest.approx(largest_stable_step_ratio(1600, 40), rel=0.02)
    assert largest_stable_step_ratio(1, 10**6) == 1 == expected_largest_load(1, 10**6)


def iterations(curvature: np.ndarray, start: np.ndarray, accuracy: float = 1e-6) -> int:
    """Of gradient descent at its best fixed step, on a quadratic of this (symmetric) curvature, to an accuracy."""
    values, vectors = np.linalg.eigh(curvature)
    errors, values = vectors.T @ start, values.clip(values[-1] * 1e-12)
    first, steps = (values * errors**2).sum(), 0
    rates = 1 - 2 * values / (values[0] + values[-1])
    while (values * errors**2).sum() > accuracy * first:
        errors, steps = errors * rates, steps + 1
    return steps


@pytest.mark.parametrize("slots", [20, 80])
def test_retuned_descent_takes_no_more_than_the_spread_of_loads(slots):
    """A quadratic whose curvature differs a thousandfold; from the worst start, along the slowest and the fastest."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((480, 480)))[0]
    H = basis @ np.diag(np.geomspace(1, 1000, 480)) @ basis.T
    at, signs = repeated(20, 60, 8, slots, Robe(4, signed=True))
    bound = retuned_inflation(480, slots, 0.1)
    over = []
    for a, s in zip(at, signs, strict=True):
        R = recovery_map(a, s, slots)
        values = np.linalg.eigvalsh(R.T @ H @ R)
        values = values[values > 1e-9]
        over.append(values[-1] / values[0] / 1000 > bound)
    assert np.mean(over) <= 0.1


def test_retuned_inflation_is_the_spread_of_loads():
    """Where curvature is the same in all directions, it is met: nothing smaller would do."""
    found = loads(repeated(200, 400, 8, 16, Robe(1))[0], 16)
    spread = found.max(1) / found.min(1)
    assert np.mean(spread > retuned_inflation(3200, 16, 0.1)) <= 0.1
    assert spread.max() > 0.9 * retuned_inflation(3200, 16, 0.1)
    assert retuned_inflation(24 * 10**9, 2_700_000) < 1.2, "sharing evens loads out"


def readout_gram(ids: int, dim: int, chunk: int, slots: int, draw: int) -> np.ndarray:
    """Predictions <w, row> of ids: how a step for one moves another's, (ids, ids); 1 on the diagonal of full tables."""
    at, signs = repeated(draw + 1, ids, dim, slots, Robe(chunk, signed=True))
    w = np.random.default_rng(draw).choice([-1.0, 1.0], dim) / math.sqrt(dim)
    S = np.zeros((ids, slots))
    np.add.at(S, (np.arange(ids)[:, None], at[draw]), signs[draw] * w)
    return S @ S.T


@pytest.mark.parametrize(("dim", "chunk"), [(16, 1), (64, 4)])
@pytest.mark.parametrize("ids", [60, 150, 300])
def test_readout_inflation_is_a_condition_number(ids, dim, chunk):
    found = [np.linalg.cond(readout_gram(ids, dim, chunk, 600, draw)) for draw in range(3)]
    assert np.median(found) == pytest.approx(readout_inflation(ids, 600), rel=0.2)


def test_iterations_follow_the_condition_number():
    """Full tables reach any accuracy in one step here; from one share of ids to another, iterations grow alike."""
    found = {}
    for ids in (60, 150):
        start = np.random.default_rng(0).standard_normal(ids)
        found[ids] = iterations(readout_gram(ids, 16, 1, 600, 0), start)
    predicted = readout_inflation(150, 600) / readout_inflation(60, 600)
    assert found[150] / found[60] == pytest.approx(predicted, rel=0.25)
    assert readout_inflation(600, 600) == math.inf
    assert np.linalg.matrix_rank(readout_gram(700, 16, 1, 600, 0)) <= 600
