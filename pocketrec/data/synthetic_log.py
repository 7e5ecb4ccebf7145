"""The rows of a synthetic log, drawn block by block. B rows, 26 features, 13 dense values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pocketrec.data.planted import PlantedModel, probability
from pocketrec.data.synthetic_text import LARGEST_INTEGER
from pocketrec.data.tails import CRITEO_CARDINALITIES, HeavyTail, Population

FEATURES, DENSE = len(CRITEO_CARDINALITIES), 13
BLOCK_ROWS = 1 << 15
_CALIBRATION_BLOCK = 1 << 40  # a block number that no file reaches


@dataclass(frozen=True)
class Block:
    """Some lines: B rows."""

    labels: np.ndarray
    """(B,) bool."""
    integers: np.ndarray
    """(B, 13) int64, -1 where blank."""
    ranks: np.ndarray
    """(B, 26) int64."""
    ids: np.ndarray
    """(B, 26) uint32, 0 where blank."""
    blank: np.ndarray
    """(B, 26) bool."""
    logits: np.ndarray
    """(B,) float64, of the true click probability."""


class SyntheticLog:
    """Draws blocks of rows; block k depends only on the arguments and k."""

    def __init__(self, seed: int, populations: Sequence[Population], click_rate: float) -> None:
        self.seed = seed
        self.tails = [HeavyTail(feature, seed, each) for feature, each in enumerate(populations)]
        rng = columns_rng(seed)
        self._blank_shares = blank_shares(rng)
        self._missing_shares = np.where(rng.random(DENSE) < 0.4, rng.uniform(0.02, 0.4, DENSE), 0.0)
        self._centers, self._widths = rng.uniform(0.5, 3.5, DENSE), rng.uniform(0.7, 1.5, DENSE)
        self.model = PlantedModel(seed, FEATURES, DENSE)
        self.model.calibrate(self.block(_CALIBRATION_BLOCK, BLOCK_ROWS).logits, click_rate)

    def block(self, number: int, rows: int) -> Block:
        """`rows` rows."""
        rng = np.random.default_rng([self.seed, 3, number])
        counts = np.exp(self._centers + self._widths * rng.standard_normal((rows, DENSE), np.float32))
        integers = np.minimum(counts, LARGEST_INTEGER).astype(np.int64)
        integers[rng.random((rows, DENSE), np.float32) < self._missing_shares] = -1
        blank = rng.random((rows, FEATURES), np.float32) < self._blank_shares
        ranks = np.empty((rows, FEATURES), np.int64, order="F")
        ids = np.empty((rows, FEATURES), np.uint32, order="F")
        for feature, tail in enumerate(self.tails):
            ranks[:, feature] = tail.ranks(rng.random(rows))
            ids[:, feature] = tail.ids(ranks[:, feature])
        ids[blank] = 0
        logits = self.model.logit(np.log1p(np.maximum(integers, 0)), ids)
        labels = rng.random(rows) < probability(logits)
        return Block(labels, integers, ranks, ids, blank, logits)


def columns_rng(seed: int) -> np.random.Generator:
    """What decides how the columns look; it gives `blank_shares` first."""
    return np.random.default_rng([seed, 0])


def blank_shares(rng: np.random.Generator) -> np.ndarray:
    """(26,): how much of each categorical column is blank. A third of them has blanks, as in Criteo."""
    return np.where(rng.random(FEATURES) < 0.33, rng.uniform(0.02, 0.4, FEATURES), 0.0)
