"""Ids policies: what a raw id becomes before the embedding sees it. NumPy only: serving uses the same code.

`n` rows, F features. Every policy has `name`, `num_embeddings` (per feature, None when open-ended), `id_map_bytes` and
`translate`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from pocketrec.errors import UsageError
from pocketrec.hashing import ID_LIMIT, mix64, mixing_hash, mixing_key, scale

UNSEEN_ID = ID_LIMIT - 1
"""The id that `FilteredIds` gives to every value not seen often enough."""
_BLOCK = 1 << 16


class Ids(Protocol):
    """A policy."""

    name: str
    id_map_bytes: int
    out_dtype: str
    """The smallest NumPy dtype that holds translated ids."""

    @property
    def num_embeddings(self) -> tuple[int | None, ...]:
        """Per feature: ids are below it; None when open-ended."""
        ...

    def translate(self, raw: np.ndarray) -> np.ndarray:
        """(n, F) integers -> (n, F) int64."""
        ...

    def key(self) -> str | None:
        """Tells translations with other parameters apart, in file names; None when there is nothing to cache."""
        ...


class RawIds:
    """Ids as they are: open-ended tables, no map at all."""

    name = "raw"
    id_map_bytes = 0
    out_dtype = "int64"

    def __init__(self, features: int) -> None:
        self.num_embeddings: tuple[None, ...] = (None,) * features

    def translate(self, raw: np.ndarray) -> np.ndarray:
        """(n, F) integers -> the same as int64."""
        return _checked(raw, len(self.num_embeddings)).astype(np.int64)

    def key(self) -> None:
        """Nothing to cache."""
        return


class Vocabulary:
    """Row 0 of each feature for rare and unseen values, rows 1.. for the kept ids in ascending order."""

    name = "vocabulary"
    out_dtype = "int32"

    def __init__(self, kept: Sequence[np.ndarray], min_count: int = 1) -> None:
        """kept: per feature the ascending ids that have a row of their own."""
        self.kept, self.min_count = [np.ascontiguousarray(ids) for ids in kept], min_count
        self.num_embeddings = tuple(len(ids) + 1 for ids in self.kept)
        self.id_map_bytes = 8 * sum(len(ids) for ids in self.kept)

    def translate(self, raw: np.ndarray) -> np.ndarray:
        """(n, F) raw ids -> (n, F) int64 rows, in [0, num_embeddings)."""
        raw = _checked(raw, len(self.kept))
        rows = np.zeros(raw.shape, np.int64)
        for j, ids in enumerate(self.kept):
            if len(ids):
                column = np.ascontiguousarray(raw[:, j])
                # Mixed dtypes would make searchsorted convert the whole vocabulary each time.
                wanted = column if column.dtype == ids.dtype else _as_dtype(column, ids.dtype)
                places = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
                rows[:, j] = np.where(ids[places] == column, places + 1, 0)
        return rows

    def key(self) -> str:
        """See `Ids`."""
        return f"vocabulary-min{self.min_count}-{_digest(self.kept)}"


class RankedVocabulary:
    """Row 0 of each feature for rare and unseen values, rows 1.. for the kept ids, the most frequent first.

    As large as a `Vocabulary`: ids are kept in that order, and sorted again when they are loaded.
    """

    name = "ranked"
    out_dtype = "int32"

    def __init__(self, ranked: Sequence[np.ndarray], min_count: int = 1) -> None:
        """ranked: per feature the ids that have a row of their own, by falling count."""
        self.ranked = [np.ascontiguousarray(ids) for ids in ranked]
        orders = [np.argsort(ids, kind="stable") for ids in self.ranked]
        self._sorted = Vocabulary([ids[order] for ids, order in zip(self.ranked, orders, strict=True)], min_count)
        self._row_of_place = [np.concatenate([[0], order + 1]) for order in orders]
        self.num_embeddings, self.id_map_bytes = self._sorted.num_embeddings, self._sorted.id_map_bytes

    def translate(self, raw: np.ndarray) -> np.ndarray:
        """(n, F) raw ids -> (n, F) int64 rows, in [0, num_embeddings)."""
        rows = self._sorted.translate(raw)
        for j, row_of_place in enumerate(self._row_of_place):
            rows[:, j] = row_of_place[rows[:, j]]
        return rows

    def key(self) -> str:
        """See `Ids`."""
        return f"ranked-min{self._sorted.min_count}-{_digest(self.ranked)}"


class FilteredIds:
    """Raw ids that pass a Bloom filter of the values seen often enough; all others become `UNSEEN_ID`.

    About `bits_per_id` bits per kept (feature, id) pair instead of the 64 of a vocabulary. At 10 bits about 1 % of
    the unseen values pass by chance.
    """

    name = "filtered"
    out_dtype = "int64"
    seed = 0

    def __init__(self, bits: np.ndarray, probes: int, features: int, label: str) -> None:
        """bits: (bytes,) uint8, 8 places each; use `build`."""
        self.bits, self.probes, self.label = bits, probes, label
        self.num_embeddings: tuple[None, ...] = (None,) * features
        self.id_map_bytes = bits.nbytes

    @classmethod
    def build(cls, kept: Sequence[np.ndarray], bits_per_id: float = 10, min_count: int = 2) -> FilteredIds:
        """A filter that holds the `kept` ids of each feature. Raises UsageError for too few or too many bits."""
        if not 1 <= bits_per_id <= 64:
            raise UsageError(f"bits_per_id must be between 1 and 64, got {bits_per_id}")
        total = sum(len(ids) for ids in kept)
        size = max(1, int(np.ceil(total * bits_per_id / 8)))
        if size * 8 >= 1 << 31:
            raise UsageError(f"a filter of {size * 8} bits for {total} ids is too large: use fewer bits_per_id")
        probes = max(1, round(bits_per_id * np.log(2)))
        label = f"filtered-min{min_count}-bits{bits_per_id:g}"
        built = cls(np.zeros(size, np.uint8), probes, len(kept), label)
        for feature, ids in enumerate(kept):
            for start in range(0, len(ids), _BLOCK):
                for places in built._places(feature, ids[start : start + _BLOCK].astype(np.int64)):
                    np.bitwise_or.at(built.bits, places >> 3, _bit(places))
        return built

    def contains(self, feature: int, ids: np.ndarray) -> np.ndarray:
        """(n,) bool; True for every kept id and for about 1 % of the others."""
        found = np.ones(len(ids), bool)
        for places in self._places(feature, ids.astype(np.int64)):
            found &= (self.bits[places >> 3] & _bit(places)) != 0
        return found

    def translate(self, raw: np.ndarray) -> np.ndarray:
        """(n, F) raw ids -> (n, F) int64, `UNSEEN_ID` where the filter does not hold the value."""
        ids = _checked(raw, len(self.num_embeddings)).astype(np.int64)
        for j in range(ids.shape[1]):
            ids[~self.contains(j, ids[:, j]), j] = UNSEEN_ID
        return ids

    def key(self) -> str:
        """See `Ids`."""
        return f"{self.label}-{_digest([self.bits])}"

    def _places(self, feature: int, ids: np.ndarray) -> list[np.ndarray]:
        """Double hashing (Kirsch & Mitzenmacher 2006): place k is h1 + k * h2, spread by multiplication."""
        first = mixing_hash(ids, 0, mixing_key(self.seed, feature))
        second = mix64(first) | 1
        return [scale(first + k * second, 8 * len(self.bits)) for k in range(self.probes)]


def _digest(arrays: Sequence[np.ndarray]) -> str:
    """Tells apart maps that were made from different logs with the same parameters."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(len(array).to_bytes(8, "little"))
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:12]


def _bit(places: np.ndarray) -> np.ndarray:
    return np.left_shift(np.uint8(1), (places & 7).astype(np.uint8))


def _as_dtype(column: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Values outside the range of `dtype` are clipped to its end: a search then finds another value or none."""
    limits = np.iinfo(dtype)
    return np.clip(column, limits.min, limits.max).astype(dtype)


def _checked(raw: np.ndarray, features: int) -> np.ndarray:
    if raw.ndim != 2 or raw.shape[1] != features or raw.dtype.kind not in "iu":
        raise UsageError(f"raw ids must be an integer array of shape (n, {features}), got {raw.dtype} {raw.shape}")
    return raw
