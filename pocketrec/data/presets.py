"""The public logs that a synthetic one imitates: their rows and how many values each column shows in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pocketrec.data.tails import CRITEO_CARDINALITIES, Population

_KEPT = 1000
"""So many values a scaled column has at least, if it had them."""


@dataclass(frozen=True)
class Preset:
    """A public click log."""

    cardinalities: tuple[int, ...]
    """Distinct values in each of the 26 columns."""
    rows: int
    click_rate: float

    def populations(self, scale: float, filled: np.ndarray) -> list[Population]:
        """One for each column: in scale * rows rows about scale times the real log's values occur.

        Columns of at most 1000 values are not scaled, and none falls below 1000. scale is in (0, 1].
        filled: (26,), the share of each column that is not blank.
        """
        columns = enumerate(zip(self.cardinalities, filled, strict=True))
        return [_population(feature, n, self.rows * share, scale) for feature, (n, share) in columns]


def _population(feature: int, distinct: int, draws: float, scale: float) -> Population:
    if distinct * scale > _KEPT:
        return Population.showing(feature, round(distinct * scale), draws * scale)
    whole = Population.showing(feature, distinct, draws)
    return Population(whole.exponent, min(whole.size, _KEPT))


PRESETS: Mapping[str, Preset] = {
    # The Display Advertising Challenge: 45,840,617 rows of which 25.6 % are clicks.
    "criteo-kaggle": Preset(CRITEO_CARDINALITIES, 45_840_617, 0.256),
    # The 24 days of Criteo's terabyte of click logs, with MLPerf's table sizes (ids cut off at 40 million). The click
    # rate is our choice, about 3 %: no source that states it was at hand.
    "criteo-tb": Preset(
        (
            *(40_000_000, 39_060, 17_295, 7_424, 20_265, 3, 7_122, 1_543, 63, 40_000_000, 3_067_956, 405_282, 10),
            *(2_209, 11_938, 155, 4, 976, 14, 40_000_000, 40_000_000, 40_000_000, 590_152, 12_973, 108, 36),
        ),
        4_373_472_329,
        0.03,
    ),
}
