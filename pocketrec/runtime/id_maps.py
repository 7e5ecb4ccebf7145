"""An artifact's ids policy for the native engine: raw ids -> those that the memory is looked up with. F features.

`pocketrec.data.ids` says what must come out. There every feature takes its turn in NumPy, which for one row costs three
times as much as all the rest of the model; here the library's loop takes all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

import numpy as np

from pocketrec import hashing
from pocketrec.artifact import Artifact
from pocketrec.runtime.native_library import address, library

IdMap = Callable[[np.ndarray], np.ndarray]
"""(n, F) contiguous int64 -> the same."""


def id_map(artifact: Artifact) -> IdMap | None:
    """The map; None where the artifact does not hold it in the form that this engine reads."""
    policy, tensors = artifact.recipe.ids["policy"], artifact.tensors
    if policy == "raw":
        return lambda ids: ids
    if policy == "filtered":
        bits = tensors.get("ids.bits")
        if bits is None or bits.dtype != np.uint8 or 8 * len(bits) != artifact.recipe.ids["bits"]:
            return None
        return _filter(artifact, bits)
    kept = tensors.get("ids.kept")
    return None if kept is None or kept.dtype not in (np.uint32, np.int64) else _search(artifact, kept)


def _filter(artifact: Artifact, bits: np.ndarray) -> IdMap:
    about, native = artifact.recipe.ids, library()
    assert native is not None
    keys = np.array([hashing.mixing_key(about["seed"], column) for column in about["columns"]], np.int64)

    def translate(ids: np.ndarray) -> np.ndarray:
        out = np.empty_like(ids)
        arguments = (address(bits), len(bits), about["probes"], address(keys), about["unseen_id"])
        native.pocketrec_filter(*arguments, address(ids), *ids.shape, address(out))
        return out

    return translate


def _search(artifact: Artifact, kept: np.ndarray) -> IdMap | None:
    native, rows = library(), artifact.tensors.get("ids.rows")
    assert native is not None
    # Each feature has a row more than kept ids, and one number, never asked for, lies before all.
    ends = np.array(list(accumulate(n - 1 for n in artifact.recipe.ids["rows"])), np.int64)
    first, ranks = kept[1:], None if rows is None else rows[1:]
    if len(first) != ends[-1] or (artifact.recipe.ids["policy"] == "ranked") != (ranks is not None):
        return None
    if ranks is not None and (ranks.dtype != np.int32 or len(ranks) != len(first)):
        return None

    def translate(ids: np.ndarray) -> np.ndarray:
        out = np.empty_like(ids)
        arguments = (address(first), first.dtype == np.int64, address(ends), address(ranks))
        native.pocketrec_search(*arguments, address(ids), *ids.shape, address(out))
        return out

    return translate
