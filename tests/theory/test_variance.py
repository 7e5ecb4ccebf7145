"""Var <R'x, R'y>: against sums over pairs, and against draws through the real kernels."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from draws import agrees, repeated, sketched

from pocketrec import Robe
from pocketrec.theory import inner_product_bias, inner_product_variance, relative_error

# (rows, D, Z, M): Z of 1, between and D; a short last chunk; a memory in which shifts wrap round onto each other.
CASES = [(1, 16, 1, 7), (1, 16, 2, 7), (1, 16, 4, 7), (4, 4, 4, 7), (3, 5, 2, 11), (2, 4, 4, 5), (3, 6, 3, 4)]


def two_tables(rows: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Correlated, so that <x, y> is not small and chunks are not alike."""
    rng = np.random.default_rng(rows * dim)
    x = rng.standard_normal((rows, dim)) + 0.5
    return x, x / 2 + rng.standard_normal((rows, dim))


def simulated(x, y, slots: int, chunk: int, signs: str, draws: int = 40_000) -> np.ndarray:
    """<R'x, R'y> of each draw. The mixing hash has a sign a chunk; others are drawn here."""
    at, drawn = repeated(draws, *x.shape, slots, Robe(chunk, signed=signs == "chunk"))
    if signs == "element":
        drawn = np.random.default_rng(0).choice([-1.0, 1.0], at.shape)
    return (sketched(x, at, drawn, slots) * sketched(y, at, drawn, slots)).sum(1)


@pytest.mark.parametrize("signs", ["element", "chunk"])
@pytest.mark.parametrize(("rows", "dim", "chunk", "slots"), CASES)
def test_variance_and_mean_are_those_of_the_kernel(rows, dim, chunk, slots, signs):
    x, y = two_tables(rows, dim)
    products = simulated(x, y, slots, chunk, signs)
    exact = (x * y).sum()
    assert agrees(products, exact)
    assert agrees((products - exact) ** 2, inner_product_variance(x, y, slots, chunk, signs=signs))


def over_pairs(x, y, slots: int, chunk: int, signs: str) -> float:
    """The definition: over pairs of chunks, and shifts between them, what meets at once and with one sign."""
    pieces = [
        range(r * x.shape[1] + c, r * x.shape[1] + min(c + chunk, x.shape[1]))
        for r in range(len(x))
        for c in range(0, x.shape[1], chunk)
    ]
    x, y, total = x.ravel(), y.ravel(), 0.0
    for first, second in combinations(pieces, 2):
        sums = dict[object, float]()
        for i, a in enumerate(first):
            for j, b in enumerate(second):
                event = (i - j) % slots if signs == "chunk" else (i, j)
                sums[event] = sums.get(event, 0.0) + x[a] * y[b] + x[b] * y[a]
        total += sum(value**2 for value in sums.values()) / slots
    return total


@pytest.mark.parametrize("signs", ["element", "chunk"])
@pytest.mark.parametrize(("rows", "dim", "chunk", "slots"), CASES)
def test_closed_forms_equal_sums_over_pairs(rows, dim, chunk, slots, signs):
    x, y = two_tables(rows, dim)
    expected = over_pairs(x, y, slots, chunk, signs)
    assert inner_product_variance(x, y, slots, chunk, signs=signs) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_longer_chunks_vary_less():
    """With a sign an element, always; the gain is that of the pairs within a chunk."""
    x, y = (v.ravel() for v in two_tables(1, 16))
    variances = [inner_product_variance(x, y, 17, chunk) for chunk in (1, 2, 4, 8, 16)]
    assert all(a > b for a, b in pairwise(variances))
    assert variances[-1] == pytest.approx(0, abs=1e-12)
    within = sum(
        (x[i] * y[j] + x[j] * y[i]) ** 2
        for a in range(0, 16, 4)
        for i in range(a, a + 4)
        for j in range(a, a + 4)
        if i != j
    )
    assert variances[0] - variances[2] == pytest.approx(within / 2 / 17)


@pytest.mark.parametrize("chunk", [1, 4])
def test_without_signs_there_is_a_bias(chunk):
    x, y = two_tables(3, 4)
    at, signs = repeated(40_000, 3, 4, 11, Robe(chunk))
    assert (signs == 1).all()
    products = (sketched(x, at, signs, 11) * sketched(y, at, signs, 11)).sum(1)
    bias = inner_product_bias(x, y, 11, chunk)
    assert abs(bias) > 0.1
    assert agrees(products, (x * y).sum() + bias)


@pytest.mark.parametrize("signs", ["element", "chunk"])
@pytest.mark.parametrize(("rows", "dim", "chunk"), [(1, 12, 4), (1, 10, 4), (5, 8, 8), (5, 8, 1)])
def test_relative_error_is_the_average_over_tables(rows, dim, chunk, signs):
    rng = np.random.default_rng(3)
    variances = [
        inner_product_variance(*rng.standard_normal((2, rows, dim)), 50, chunk, signs=signs) for _ in range(4000)
    ]
    assert agrees(np.array(variances) / (rows * dim) ** 2, relative_error(dim, 50, chunk, rows) ** 2)


def test_the_gain_of_chunks_fades_with_the_rows():
    assert relative_error(16, 1000, 16) == 0
    assert relative_error(16, 1000, 16, 10**6) == pytest.approx(relative_error(16, 1000, 1, 10**6), rel=1e-6)
