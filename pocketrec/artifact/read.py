"""NAME.pocket -> Artifact: everything is checked before anything is used, and weights stay where they lie."""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pocketrec.artifact import archive, graph, json_text, tensors
from pocketrec.artifact.archive import GRAPH, RECIPE, SIZE_LIMIT, TENSORS
from pocketrec.artifact.errors import ArtifactError, damaged
from pocketrec.artifact.recipe import Recipe, recipe_of


@dataclass(frozen=True)
class Artifact:
    """A model as `pocketrec export` wrote it. Its arrays and views stay valid as long as any of them is held."""

    recipe: Recipe
    tensors: Mapping[str, np.ndarray]
    """Read-only views of the file."""
    graph: bytes
    """model.onnx."""
    weights: memoryview
    """model.safetensors, which the graph's external data point into."""
    contents: memoryview
    """The whole file."""

    @cached_property
    def sha256(self) -> str:
        """Of the whole file, in hex."""
        return hashlib.sha256(self.contents).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self.contents)


def read_artifact(path: str | os.PathLike[str]) -> Artifact:
    """Read and check an artifact; its weights are views into the mapped file.

    Replace such a file by renaming another over it, as `pocketrec export` does: written over in place, it would change
    under its readers.

    Raises ArtifactError for a file that is no artifact, is damaged, or of a version not known; OSError when there is no
    such file.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not 0 < size <= SIZE_LIMIT:
            raise ArtifactError(f"{path}: {size} bytes: an artifact has some, and fewer than 4 GiB")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return artifact_of(mapped, str(path))


def artifact_of(contents: bytes | mmap.mmap, where: str = "artifact") -> Artifact:
    """The artifact in these bytes, as `read_artifact`; `where` begins the message of an error."""
    try:
        return _checked(memoryview(contents).toreadonly())
    except ArtifactError as error:
        raise ArtifactError(f"{where}: {error}") from None


def _checked(contents: memoryview) -> Artifact:
    entries = archive.entries(contents)
    recipe = recipe_of(json_text.parse(entries[RECIPE], RECIPE))
    for name, file in recipe.files.items():
        if len(entries[name]) != file.bytes or hashlib.sha256(entries[name]).hexdigest() != file.sha256:
            raise damaged(f"{name} is not the one that {RECIPE} was written for: its SHA-256 is another")
    where = tensors.places(entries[TENSORS])
    graph.check(entries[GRAPH], where, graph.Signature(recipe.n_dense, recipe.n_features))
    return Artifact(
        recipe=recipe,
        tensors=tensors.views(entries[TENSORS], where),
        graph=bytes(entries[GRAPH]),
        weights=entries[TENSORS],
        contents=contents,
    )
