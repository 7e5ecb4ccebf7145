"""The planted click model of a synthetic log: a logit that is a known function of ids and dense values.

logit = bias + sum_f strength_f w_f(id_f) + sum_k slope_k z_k + sum_(f, g) <v_f(id_f), v_g(id_g)>, where the weights w
and the vectors v come from hashes of (feature, id): no table is kept. B rows, 26 features, 13 dense values.
"""

from __future__ import annotations

import numpy as np

from pocketrec.hashing import mixing_hash, mixing_key

PAIRS = ((0, 5), (8, 13), (16, 19), (5, 22), (9, 16))
"""Features that interact."""
_RANK = 2
_LINEAR, _DENSE, _PAIR = 1.45, 0.5, 0.4
"""Standard deviations of the three parts of the logit, as designed (heavy-tailed ids make it vary)."""


class PlantedModel:
    """The probabilities from which clicks are drawn."""

    def __init__(self, seed: int, features: int, dense: int) -> None:
        rng = np.random.default_rng([seed, 1])
        self.bias = 0.0
        strengths = rng.uniform(0.5, 1.5, features)
        self._strengths = _LINEAR * strengths / np.linalg.norm(strengths)
        slopes = rng.normal(size=dense)
        self._slopes = _DENSE * slopes / np.linalg.norm(slopes)
        self._keys = [mixing_key(seed, 1000 + feature) for feature in range(features)]

    def logit(self, dense: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """dense (B, 13) float, log1p of the counts; ids (B, 26) raw -> (B,) float64."""
        total = self.bias + (dense - 2.0) @ self._slopes
        for feature, strength in enumerate(self._strengths):
            total += strength * self._normal(feature, ids[:, feature], 0)
        scale = _PAIR / np.sqrt(len(PAIRS) * _RANK)
        for left, right in PAIRS:
            for axis in range(1, _RANK + 1):
                total += scale * self._normal(left, ids[:, left], axis) * self._normal(right, ids[:, right], axis)
        return total

    def calibrate(self, logits: np.ndarray, click_rate: float) -> None:
        """Set the bias so that a sample of logits (made with bias 0) has this mean probability."""
        low, high = -30.0, 30.0
        for _ in range(60):
            self.bias = (low + high) / 2
            low, high = (self.bias, high) if probability(logits + self.bias).mean() < click_rate else (low, self.bias)

    def _normal(self, feature: int, ids: np.ndarray, stream: int) -> np.ndarray:
        """About standard normal, one value per id: the sum of four 16-bit digits of a hash."""
        hashed = mixing_hash(ids.astype(np.int64), stream, self._keys[feature])
        digits = sum((hashed >> shift) & 0xFFFF for shift in (0, 16, 32, 48))
        return (digits / 65536.0 - 2.0) * np.sqrt(3.0)


def probability(logits: np.ndarray) -> np.ndarray:
    """The logistic function."""
    return 1.0 / (1.0 + np.exp(-logits))


class AucHistogram:
    """AUC of logits that stream by, in flat memory: 65,536 bins, ties within a bin count half (error below 1e-5)."""

    _BINS, _LIMIT = 1 << 16, 16.0

    def __init__(self) -> None:
        self._positive, self._negative = np.zeros(self._BINS), np.zeros(self._BINS)

    def add(self, logits: np.ndarray, clicks: np.ndarray) -> None:
        """Add (B,) logits with the share (0 to 1) of each that counts as a click."""
        places = ((logits + self._LIMIT) * (self._BINS / (2 * self._LIMIT))).clip(0, self._BINS - 1).astype(np.int64)
        self._positive += np.bincount(places, clicks, self._BINS)
        self._negative += np.bincount(places, 1.0 - clicks, self._BINS)

    def auc(self) -> float:
        """The area; NaN when only one class was seen."""
        below = np.cumsum(self._negative) - self._negative / 2
        pairs = self._positive.sum() * self._negative.sum()
        return float((self._positive * below).sum() / pairs) if pairs else float("nan")
