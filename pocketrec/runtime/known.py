"""How many of a log's values the model learned: of columns in another order, or of another log's, next to none.

A model scores any id, and scores such a log without a word: this is what there is to tell.
"""

from __future__ import annotations

import numpy as np

from pocketrec.artifact import Artifact
from pocketrec.hashing import BLANK_ID
from pocketrec.runtime.id_maps import id_map
from pocketrec.runtime.native_library import library

SAMPLE = 512
"""Rows of a block that are looked at: a few in a hundred."""
FEW = 0.05
"""Of a feature's values."""
TOO_FULL = 0.5
"""Of a filter: where it lets every second value pass, what passes tells nothing."""
ENOUGH = 100
"""Values of a feature, before it is called strange."""


class KnownValues:
    """Of each of F features, in the rows looked at; blanks, and what else has their id, aside."""

    def __init__(self, artifact: Artifact) -> None:
        self.features = artifact.recipe.inputs.features
        self._counted = np.zeros((2, len(self.features)), np.int64)
        ids = id_map(artifact) if library() else None
        self._ids = ids if ids and ids.unseen is not None and ids.chance < TOO_FULL else None

    def count(self, ids: np.ndarray) -> np.ndarray:
        """(2, F) those held and all, of the first rows of ids (n, F) raw. Threads may call it at once."""
        if self._ids is None:
            return np.zeros_like(self._counted)
        ids = np.ascontiguousarray(ids[:SAMPLE], np.int64)
        values = ids != BLANK_ID
        held = values & (self._ids.translate(ids) != self._ids.unseen)
        return np.array([held.sum(0), values.sum(0)])

    def add(self, counted: np.ndarray) -> None:
        """What `count` gave."""
        self._counted += counted

    @property
    def share(self) -> float:
        """Of all values; NaN where it cannot be told: raw ids, no compiled library, a filter too full, only blanks."""
        total = int(self._counted[1].sum())
        return float(self._learned().sum()) / total if total else float("nan")

    @property
    def strange(self) -> tuple[str, ...]:
        """Features of whose values the model knows next to none."""
        values = self._counted[1]
        few = (values >= ENOUGH) & (self._learned() < FEW * values)
        return tuple(name for name, is_strange in zip(self.features, few, strict=True) if is_strange)

    def _learned(self) -> np.ndarray:
        """(F,) those held, without those that a filter holds by chance."""
        chance = self._ids.chance if self._ids else 0.0
        held, values = self._counted
        return np.maximum(0, held - chance * values) / (1 - chance)
