"""Artifacts whose contents are bad and whose checksums are good, and what the reader says of them."""

from __future__ import annotations

import hashlib
import json
import tracemalloc

import made
import pytest

from pocketrec.artifact import ArtifactError, artifact_of
from pocketrec.artifact.archive import GRAPH, RECIPE, TENSORS
from pocketrec.artifact.tensors import pieces
from pocketrec.errors import DataError


def parts() -> dict[str, bytes]:
    """Entries of a good artifact, not sealed yet."""
    tensors = made.tensors()
    return {
        RECIPE: json.dumps(made.recipe()).encode(),
        TENSORS: b"".join(pieces(tensors)),
        GRAPH: made.model(tensors).SerializeToString(),
    }


def sealed(entries: dict[str, bytes]) -> dict[str, bytes]:
    """With sizes and hashes in the recipe that agree."""
    told = json.loads(entries[RECIPE])
    told["files"] = {
        name: {"bytes": len(entries[name]), "sha256": hashlib.sha256(entries[name]).hexdigest()}
        for name in (TENSORS, GRAPH)
    }
    return entries | {RECIPE: json.dumps(told).encode()}


def refused(contents: bytes) -> str:
    """What the reader says; it takes less than 1 MB for saying it."""
    tracemalloc.start()
    try:
        with pytest.raises(ArtifactError) as caught:
            artifact_of(contents, "bad.pocket")
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert isinstance(caught.value, DataError)
    assert str(caught.value).startswith("bad.pocket: ")
    return str(caught.value)


GOOD = made.packed(sealed(parts()))
