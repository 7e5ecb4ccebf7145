"""What codes are made of: what is packed is read, levels are the best ones, and bits go where they matter."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from pocketrec.compress.allocation import Spectrum, allocate
from pocketrec.compress.moments import first_rows_of_tiers
from pocketrec.sharing.bit_packing import GUARD, pack, read
from pocketrec.sharing.codebooks import distortion, levels, thresholds

# Bits and levels.


@pytest.mark.parametrize("width", range(9))
def test_what_is_packed_is_read(width):
    """Every width, at every bit of a byte, and the last number too."""
    numbers = torch.randint(0, 1 << width, (37, 1))
    packed = torch.cat([pack(numbers, torch.tensor([width])), torch.zeros(GUARD, dtype=torch.uint8)])
    assert len(packed) == -(-37 * width // 8) + GUARD
    masks = torch.full((37,), (1 << width) - 1, dtype=torch.int32)
    assert torch.equal(read(packed, width * torch.arange(37), masks).long(), numbers[:, 0])


def test_rows_of_mixed_widths_are_packed_without_gaps():
    widths = torch.tensor([3, 0, 7, 1, 8])
    numbers = torch.stack([torch.randint(0, 1 << int(w), (29,)) for w in widths], 1)
    packed = torch.cat([pack(numbers, widths), torch.zeros(GUARD, dtype=torch.uint8)])
    positions = 19 * torch.arange(29)[:, None] + torch.tensor([0, 3, 3, 10, 11])
    assert torch.equal(read(packed, positions, ((1 << widths) - 1).int().expand(29, 5)).long(), numbers)
    assert len(packed) == -(-29 * 19 // 8) + GUARD


def test_bits_are_packed_the_lowest_first():
    """By hand: 5, 2, 7 in three bits are 101, 010, 111, read from the right."""
    assert pack(torch.tensor([[5], [2], [7]]), torch.tensor([3])).tolist() == [0b11010101, 0b1]


@pytest.mark.parametrize(
    ("bits", "known"), list(enumerate([1, 0.3634, 0.1175, 0.03455, 0.009501, 0.002505, 0.000644, 0.0001635]))
)
def test_levels_are_those_of_lloyd_and_max(bits, known):
    """Their published distortions; and each level is the mean of what is nearest to it, tried on samples."""
    assert distortion(bits) == pytest.approx(known, rel=1e-3)
    x = torch.randn(400_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    own = levels(bits)[torch.bucketize(x, thresholds(bits))]
    assert float((own - x).square().mean()) == pytest.approx(known, rel=0.03)
    assert len(levels(bits)) == 1 << bits


# Where bits go.


def spectrum(rows, variances, means=None):
    variances = torch.tensor(variances, dtype=torch.float64)
    means = torch.zeros_like(variances) if means is None else torch.tensor(means, dtype=torch.float64)
    return Spectrum(4, rows, means * torch.tensor(rows)[:, None], variances * torch.tensor(rows)[:, None])


def test_bits_go_to_what_varies():
    """As well as the best of all ways to spend as many; nothing to what does not vary."""
    variances = [200.0, 60.0, 20.0, 0.0]
    found = allocate([spectrum([10_000], [variances])], 10_000, 7)
    *bits, last = found.bits[0][0].tolist()
    assert last == 0

    def error(widths):
        return 10_000 * sum(v * distortion(b) for v, b in zip(variances, widths, strict=False))

    ways = [way for way in product(range(8), repeat=3) if sum(way) == sum(bits)]
    assert found.error == pytest.approx(error(bits))
    assert error(bits) == min(map(error, ways))
    assert sum(bits) == 7, "ten thousand bytes are eight bits a row, less what else is stored"


def test_a_mean_may_be_all_that_is_worth_its_bytes():
    found = allocate([spectrum([1000, 1000], [[1e-9, 0.0]] * 2, [[9.0, 0.0], [1.0, 0.0]])], 60, 7)
    assert found.coded[0].tolist() == [True, False]
    assert not found.bits[0].any()


def test_tiers_are_counts_within_a_ratio():
    counts = torch.tensor([0, 9, 8, 5, 5, 4, 3, 2, 2, 2])
    assert first_rows_of_tiers("t", counts, 10, 1.5) == [0, 1, 3, 5, 7]
    assert first_rows_of_tiers("t", counts, 10, 1.0) == [0, 1, 2, 3, 5, 6, 7]
    assert first_rows_of_tiers("t", counts / 8, 10, 1.5)[:2] == [0, 1], "counts need not be whole"
    assert first_rows_of_tiers("t", None, 10, 1.5) == [0]
