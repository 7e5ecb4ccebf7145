"""An artifact's ids policy for the native engine: raw ids -> those that the memory is looked up with. F features.

`pocketrec.data.ids` says what must come out. There every feature takes its turn in NumPy, which for one row costs three
times as much as all the rest of the model; here the library's loop takes all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from pocketrec import hashing
from pocketrec.artifact import Artifact, ArtifactError
from pocketrec.hashing import ID_LIMIT
from pocketrec.runtime.native_library import address, library

_SAMPLE = 1 << 16


class IdMap(NamedTuple):
    """What an ids policy makes of raw ids."""

    translate: Callable[[np.ndarray], np.ndarray]
    """(n, F) contiguous int64 -> the same."""
    ends: np.ndarray
    """(F,) int64: what it gives for each feature lies in [0, end)."""
    unseen: int | None
    """What it gives for an id that it does not hold; None where it takes all as they are."""
    chance: float = 0.0
    """Of an id that it does not hold, to pass nevertheless: a filter's."""


def id_map(artifact: Artifact) -> IdMap | None:
    """The map; None where the artifact does not hold it in the form that this engine reads.

    Raises ArtifactError for rows of a ranked vocabulary that are none.
    """
    policy = artifact.recipe.ids["policy"]
    any_id = np.full(artifact.recipe.n_features, ID_LIMIT, np.int64)
    if policy == "raw":
        return IdMap(lambda ids: ids, any_id, None)
    if policy == "filtered":
        bits = vector(artifact, "ids.bits", np.uint8)
        if bits is None or 8 * len(bits) != artifact.recipe.ids["bits"]:
            return None
        part = bits[:_SAMPLE]  # hashed places: a part is as full as the whole, which may be hundreds of MB
        chance = float(np.bitwise_count(part).sum() / (8 * len(part))) ** artifact.recipe.ids["probes"]
        return IdMap(_filter(artifact, bits), any_id, artifact.recipe.ids["unseen_id"], chance)
    kept = vector(artifact, "ids.kept", np.uint32, np.int64)
    return None if kept is None else _vocabulary(artifact, kept)


def vector(artifact: Artifact, name: str, *dtypes: type[np.generic]) -> np.ndarray | None:
    """A tensor, if it has one dimension and one of these dtypes: C++ reads as many items as its length says."""
    tensor = artifact.tensors.get(name)
    return tensor if tensor is not None and tensor.ndim == 1 and tensor.dtype in dtypes else None


def _filter(artifact: Artifact, bits: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    about, native = artifact.recipe.ids, library()
    assert native is not None
    keys = np.array([hashing.mixing_key(about["seed"], column) for column in about["columns"]], np.int64)

    def translate(ids: np.ndarray) -> np.ndarray:
        out = np.empty_like(ids)
        arguments = (address(bits), len(bits), about["probes"], address(keys), about["unseen_id"])
        native.pocketrec_filter(*arguments, address(ids), *ids.shape, address(out))
        return out

    return translate


def _vocabulary(artifact: Artifact, kept: np.ndarray) -> IdMap | None:
    rows = np.array(artifact.recipe.ids["rows"], np.int64)
    # Each feature has a row more than kept ids, and one number, never asked for, lies before all.
    ends = np.array(list(accumulate(artifact.recipe.ids["rows"], lambda end, n: end + n - 1, initial=0)), np.int64)
    first = kept[1:]
    if len(first) != ends[-1]:
        return None
    if artifact.recipe.ids["policy"] == "vocabulary":
        return IdMap(_search(first, ends[1:], None), rows, 0)
    ranks = vector(artifact, "ids.rows", np.int32)
    if ranks is None or len(ranks) != len(kept):
        return None
    ranks = ranks[1:]
    for (start, end), n in zip(pairwise(ends), rows, strict=True):
        if ranks[start:end].min(initial=0) < 0 or ranks[start:end].max(initial=0) >= n:
            raise ArtifactError("ids.rows has rows outside the tables: export the run again")
    return IdMap(_search(first, ends[1:], ranks), rows, 0)


def _search(kept: np.ndarray, ends: np.ndarray, ranks: np.ndarray | None) -> Callable[[np.ndarray], np.ndarray]:
    native = library()
    assert native is not None

    def translate(ids: np.ndarray) -> np.ndarray:
        out = np.empty_like(ids)
        arguments = (address(kept), kept.dtype == np.int64, address(ends), address(ranks))
        native.pocketrec_search(*arguments, address(ids), *ids.shape, address(out))
        return out

    return translate
