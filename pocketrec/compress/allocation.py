"""Which numbers of which rows get how many bits: what takes the most off the error, for each bit spent, comes first.

Greedy reverse water-filling. All that is stored has a price: a bit of a code is as many bits as its tier has rows; the
first one brings a scale; the first number of a table that is coded at all brings its column of the basis, and a mean
for each tier.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pocketrec.sharing.codebooks import distortion
from pocketrec.sharing.codes import BITS_OF_WIDTH, CodedTable

_SCALE = _MEAN = 16
_FIRST_ROW = _BASIS_SCALE = 32
_ROUNDING = 8
"""Bits that packing the widths may add."""


@dataclass(frozen=True)
class Spectrum:
    """What there is to code of a table, I tiers and K numbers a row."""

    dim: int
    rows: Sequence[int]
    """(I,) how many."""
    means: Tensor
    """(I, K): what a mean takes off the error."""
    variances: Tensor
    """(I, K): what is left of it then."""

    @property
    def error(self) -> float:
        """With nothing coded."""
        return float(self.means.sum() + self.variances.sum())


@dataclass(frozen=True)
class Allocation:
    """Bits of each number, and the error that remains."""

    bits: tuple[Tensor, ...]
    """Of each table (I, K), int64."""
    coded: tuple[Tensor, ...]
    """Of each table (K,): which numbers are, be it by their means alone."""
    error: float


class _Table:
    """What was given to one so far."""

    def __init__(self, spectrum: Spectrum) -> None:
        self.spectrum, self.rows = spectrum, list(spectrum.rows)
        self.bits = [[0] * spectrum.means.shape[1] for _ in self.rows]
        self.row_bits = [0] * len(self.rows)
        self.coded: set[int] = set()
        self.variances = spectrum.variances.tolist()
        self.gain_of_means = spectrum.means.sum(0).tolist()

    def price_of_column(self) -> int:
        """Of one more number's basis and means."""
        tiers = len(self.rows)
        own = 8 * self.spectrum.dim + _BASIS_SCALE + tiers * (_MEAN + BITS_OF_WIDTH)
        return own if self.coded else own + _FIRST_ROW * tiers

    def price_of_bit(self, tier: int, k: int) -> int:
        """Of one more, the tier filled up to whole bytes."""
        n, now = self.rows[tier], self.row_bits[tier]
        whole = 8 * (-(-n * (now + 1) // 8) - -(-n * now // 8))
        return whole if self.bits[tier][k] else whole + _SCALE

    def add_bit(self, tier: int, k: int) -> None:
        self.bits[tier][k] += 1
        self.row_bits[tier] += 1


class _Greedy:
    def __init__(self, spectra: Sequence[Spectrum], budget_bytes: int, max_bits: int) -> None:
        self.tables = [_Table(spectrum) for spectrum in spectra]
        self.left = 8 * (budget_bytes - CodedTable.fixed_bytes(len(spectra))) - _ROUNDING
        self.error = sum(spectrum.error for spectrum in spectra)
        self.drops = [distortion(b) - distortion(b + 1) for b in range(max_bits)]
        self.offers: list[tuple[float, int, int, int, int]] = []
        """-(gain / price), table, k, tier or -1 for the column itself, bits so far or how many first bits with it."""
        for t, table in enumerate(self.tables):
            for k in range(table.spectrum.means.shape[1]):
                self.offer_column(t, k)

    def first_bits(self, t: int, k: int) -> list[tuple[float, int, int]]:
        """(gain, price, tier) of each tier's first bit, the best first."""
        table = self.tables[t]
        found = [
            (row[k] * self.drops[0], n + _SCALE, i)
            for i, (n, row) in enumerate(zip(table.rows, table.variances, strict=True))
        ]
        return sorted((bit for bit in found if bit[0] > 0), key=lambda bit: -bit[0] / bit[1])

    def offer_column(self, t: int, k: int, at_most: int | None = None) -> None:
        """A column is as good as with those first bits that make it best."""
        gain, price = self.tables[t].gain_of_means[k], self.tables[t].price_of_column()
        chosen = 0
        for own_gain, own_price, _ in self.first_bits(t, k)[:at_most]:
            if own_gain * price <= gain * own_price:
                break
            gain, price, chosen = gain + own_gain, price + own_price, chosen + 1
        if gain > 0:
            heapq.heappush(self.offers, (-gain / price, t, k, -1, chosen))

    def offer_bit(self, t: int, k: int, tier: int) -> None:
        table = self.tables[t]
        now, variance = table.bits[tier][k], table.variances[tier][k]
        if now < len(self.drops) and variance > 0:
            price = table.rows[tier] + (0 if now else _SCALE)
            heapq.heappush(self.offers, (-variance * self.drops[now] / price, t, k, tier, now))

    def take_bit(self, t: int, k: int, tier: int) -> None:
        table = self.tables[t]
        price = table.price_of_bit(tier, k)
        if price <= self.left:
            self.left -= price
            self.error -= table.variances[tier][k] * self.drops[table.bits[tier][k]]
            table.add_bit(tier, k)
            self.offer_bit(t, k, tier)

    def take_column(self, t: int, k: int, with_bits: int) -> None:
        table = self.tables[t]
        price = table.price_of_column()
        if price > self.left:
            return
        self.left -= price
        self.error -= table.gain_of_means[k]
        table.coded.add(k)
        for place, (_, _, tier) in enumerate(self.first_bits(t, k)):
            if place < with_bits:
                self.take_bit(t, k, tier)
            else:
                self.offer_bit(t, k, tier)

    def run(self) -> Allocation:
        while self.offers:
            _, t, k, tier, state = heapq.heappop(self.offers)
            if tier < 0:
                self.take_column(t, k, state)
            elif self.tables[t].bits[tier][k] == state:
                self.take_bit(t, k, tier)
        coded = [torch.tensor([k in table.coded for k in range(len(table.gain_of_means))]) for table in self.tables]
        return Allocation(tuple(torch.tensor(table.bits) for table in self.tables), tuple(coded), self.error)


def allocate(spectra: Sequence[Spectrum], budget_bytes: int, max_bits: int) -> Allocation:
    """Spend at most so many bytes on the tables."""
    return _Greedy(spectra, budget_bytes, max_bits).run()
