"""Recipe, tensors and graph -> NAME.pocket, whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from pocketrec.artifact.archive import GRAPH, TENSORS, write_entries
from pocketrec.artifact.errors import ArtifactError
from pocketrec.artifact.read import Artifact, read_artifact
from pocketrec.artifact.tensors import pieces
from pocketrec.files import atomic_path, to_json

SUFFIX = ".pocket"


def write_artifact(
    path: str | os.PathLike[str], recipe: Mapping[str, Any], tensors: Mapping[str, np.ndarray], graph: bytes
) -> Artifact:
    """Write an artifact, atomically, and return it as `read_artifact` does.

    Args:
        path: where; a file there is replaced.
        recipe: what recipe.json says, but `files`, which is added here.
        tensors: by name; the graph's external data point where `offsets_of` says that they lie.
        graph: model.onnx.

    Raises ArtifactError, and writes nothing, for what `read_artifact` would refuse.
    """
    digest, size = hashlib.sha256(), 0
    for piece in pieces(tensors):
        digest.update(piece)
        size += len(piece)
    files = {
        TENSORS: {"bytes": size, "sha256": digest.hexdigest()},
        GRAPH: {"bytes": len(graph), "sha256": hashlib.sha256(graph).hexdigest()},
    }
    text = (to_json({**recipe, "files": files}) + "\n").encode()
    with atomic_path(path) as temporary:
        with open(temporary, "wb") as file:
            write_entries(file, [[memoryview(text)], pieces(tensors), [memoryview(graph)]])
        try:
            read_artifact(temporary)
        except ArtifactError as error:
            reason = str(error).removeprefix(f"{temporary}: ")
            raise ArtifactError(f"{path}: not written, since it could not be read: {reason}") from None
    return read_artifact(path)
