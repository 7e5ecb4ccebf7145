"""How many of a log's values the model learned: of columns in another order, or of another log's, next to none.

A model scores any id, and scores such a log without a word: this is what there is to tell.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pocketrec.artifact import Artifact
from pocketrec.hashing import BLANK_ID
from pocketrec.runtime.id_maps import id_map
from pocketrec.runtime.native_library import library

SAMPLE = 512
"""Rows of a block that are looked at: a few in a hundred."""
FEW = 0.05
"""Of a feature's values. A filter lets about one unseen value in a hundred pass."""
ENOUGH = 100
"""Values of a feature, before it is called strange."""


@dataclass
class KnownValues:
    """Of each of F features, in the rows looked at, blanks aside."""

    artifact: Artifact
    known: np.ndarray = field(init=False)
    """(F,) values that have a row of their own, or pass the filter."""
    values: np.ndarray = field(init=False)
    """(F,) all of them."""

    def __post_init__(self) -> None:
        features = self.artifact.recipe.n_features
        self.known, self.values = np.zeros(features, np.int64), np.zeros(features, np.int64)
        self._ids = id_map(self.artifact) if library() else None

    def count(self, ids: np.ndarray) -> np.ndarray:
        """(2, F) known and all, of the first rows of ids (n, F) raw. Threads may call it at once."""
        if self._ids is None or self._ids.unseen is None:
            return np.zeros((2, ids.shape[1]), np.int64)
        ids = np.ascontiguousarray(ids[:SAMPLE], np.int64)
        values = ids != BLANK_ID
        known = values & (self._ids.translate(ids) != self._ids.unseen)
        return np.array([known.sum(0), values.sum(0)])

    def add(self, counted: np.ndarray) -> None:
        """What `count` gave."""
        self.known += counted[0]
        self.values += counted[1]

    @property
    def share(self) -> float:
        """Of all values; NaN where it cannot be told: ids taken as they come, no compiled library, only blanks."""
        total = int(self.values.sum())
        return int(self.known.sum()) / total if total else float("nan")

    @property
    def strange(self) -> tuple[str, ...]:
        """Features of whose values the model knows next to none."""
        names = self.artifact.recipe.inputs.features
        few = (self.values >= ENOUGH) & (self.known < FEW * self.values)
        return tuple(name for name, is_strange in zip(names, few, strict=True) if is_strange)
