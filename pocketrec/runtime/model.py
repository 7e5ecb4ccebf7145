"""A loaded artifact that scores. n rows, `n_dense` dense columns, F features."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from pocketrec.artifact import Artifact, ArtifactError, Recipe, read_artifact
from pocketrec.artifact.recipe import Inputs
from pocketrec.errors import UsageError, one_of, whole_number
from pocketrec.hashing import BLANK_ID, ID_LIMIT
from pocketrec.runtime.fields import Fields, RowError

LOG = logging.getLogger("pocketrec.runtime")
ENGINES = ("auto", "native", "onnx")
TOLERANCE = 1e-5
"""By how much an engine may differ from what the export said of the recipe's examples."""


class Engine(Protocol):
    """What computes the probabilities."""

    name: str
    slice_rows: int
    """Rows that it takes at once: what is computed in between stays in the caches, and memory flat."""

    def run(self, dense: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """dense (B, n) float32 raw, NaN for blanks, and ids (B, F) int64 raw -> (B,) float32. Threads may share it."""
        ...


class Model:
    """See `load`."""

    def __init__(self, artifact: Artifact, engine: Engine) -> None:
        self.artifact = artifact
        self._engine = engine
        self._fields = fields_of(artifact.recipe)

    @property
    def recipe(self) -> Recipe:
        """What the model is and takes."""
        return self.artifact.recipe

    @property
    def engine(self) -> str:
        """`native` or `onnx`."""
        return self._engine.name

    def score(self, dense: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Probabilities (n,) float32 of rows of raw values. Threads may call it at once.

        dense: (n, n_dense), as in the log; NaN is a blank. ids: (n, F) integers in [0, 2^62), before any vocabulary.
        Raises UsageError for arrays of another shape, RowError for a value that no log holds.
        """
        dense, ids = self._checked(dense, ids)
        step = self._engine.slice_rows
        slices = [slice(first, first + step) for first in range(0, len(ids), step)]
        if len(slices) == 1:
            return self._run(dense, ids)
        scores = [self._run(dense[rows], ids[rows]) for rows in slices]
        return np.concatenate([np.empty(0, np.float32), *scores])

    def score_rows(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Probabilities (n,) float32 of rows by feature name, as `parse_rows` takes them."""
        return self.score(*self._fields.parse_rows(rows))

    def _run(self, dense: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Raises ArtifactError for anything but probabilities: a graph's shapes and values are what it makes them."""
        scores = self._engine.run(dense, ids)
        # False for NaN.
        if scores.shape != (len(ids),) or not (scores.min() >= 0 and scores.max() <= 1):
            raise ArtifactError(
                f"{self.recipe.name} gives what are no {len(ids)} probabilities: of shape {scores.shape}, "
                f"{scores.ravel()[:1]} ...: export the run again"
            )
        return scores

    def _checked(self, dense: Any, ids: Any) -> tuple[np.ndarray, np.ndarray]:
        dense = np.ascontiguousarray(dense, np.float32)
        ids = np.asarray(ids)
        recipe = self.recipe
        if ids.ndim != 2 or ids.shape[1] != recipe.n_features or ids.dtype.kind not in "iu":
            raise UsageError(
                f"ids must be an integer array of shape (n, {recipe.n_features}), got {ids.dtype} {ids.shape}"
            )
        if dense.shape != (len(ids), recipe.n_dense):
            raise UsageError(f"dense must be an array of shape ({len(ids)}, {recipe.n_dense}), got {dense.shape}")
        ids = np.ascontiguousarray(ids, np.int64)
        # Seen as unsigned, negative numbers are large ones.
        if len(ids) and ids.view(np.uint64).max() >= ID_LIMIT:
            row, column = np.argwhere(ids.view(np.uint64) >= ID_LIMIT)[0]
            told = f"an id is an integer in [0, 2^62), got {ids[row, column]}"
            raise RowError(told, int(row), recipe.inputs.features[column])
        if np.isinf(dense).any():
            row, column = np.argwhere(np.isinf(dense))[0]
            told = f"a dense value is a finite number, or NaN for a blank, got {dense[row, column]}"
            raise RowError(told, int(row), recipe.inputs.dense[column])
        return dense, ids


def load(
    path: str | os.PathLike[str] | Artifact, engine: str = "auto", threads: int | None = None, batches: bool = False
) -> Model:
    """The model in an artifact, ready to score, after it has scored the recipe's own examples.

    path: NAME.pocket, or an Artifact that was read already.
    engine: `native`, our C++ lookup and NumPy, for the models it knows; `onnx`, ONNX Runtime, for all; `auto` takes the
        first of them that can.
    threads: that one call of `score` is spread over; several calls run side by side in any case. None is 1 for `onnx`;
        `native` then leaves NumPy's matrix products the threads they have, and if given sets them for the process.
    batches: hundreds of rows at once will be scored. `auto` then takes `onnx` where it can be had: it starts later and
        holds more memory, but its layers are as fast as NumPy's or faster (benchmarks/runtime.py).
    Raises ArtifactError for a damaged or hostile file, and for one that does not score as it did when it was
    exported; UsageError for an engine that cannot be had.
    """
    one_of("engine", engine, ENGINES)
    if threads is not None:
        whole_number("threads", threads, at_least=1)
    artifact = path if isinstance(path, Artifact) else read_artifact(path)
    model = Model(artifact, _engine(artifact, engine, threads, batches))
    _check_scores(model)
    return model


def _engine(artifact: Artifact, name: str, threads: int | None, batches: bool) -> Engine:
    from pocketrec.runtime.blas import set_threads
    from pocketrec.runtime.native_engine import NativeEngine
    from pocketrec.runtime.native_library import library
    from pocketrec.runtime.onnx_engine import OnnxEngine, is_installed

    if name == "auto" and batches and is_installed():
        try:
            return OnnxEngine(artifact, threads or 1)
        except ArtifactError as error:  # it takes no weight of 2 GB, for one
            LOG.warning("%s: the native engine is tried instead", error)
    if name != "onnx":
        native = NativeEngine.of(artifact)
        if native is not None:
            if threads is not None:
                set_threads(threads)
            return native
        if name == "native":
            raise UsageError(
                "engine: native takes a DLRM over ROBE, HashedNets, the hashing trick or full tables, and its C++ "
                f"library; this is {artifact.recipe.model['ranker']} over {artifact.recipe.sharing['scheme']}, the "
                f"library was {'' if library() else 'not '}built: use engine='onnx'"
            )
    return OnnxEngine(artifact, threads or 1)


def _check_scores(model: Model) -> None:
    """Raise ArtifactError where the model says other of the recipe's examples than when it was exported, or gives no
    probabilities for rows of blanks.
    """
    model.score(np.full((2, model.recipe.n_dense), np.nan), np.full((2, model.recipe.n_features), BLANK_ID))
    examples = model.recipe.examples
    if not examples:
        return
    try:
        scores = model.score_rows([example.row for example in examples])
    except RowError as error:
        raise ArtifactError(f"an example of {model.recipe.name} is no row that it takes: {error}") from None
    for number, (example, score) in enumerate(zip(examples, scores.tolist(), strict=True)):
        if not abs(score - example.probability) <= TOLERANCE:
            raise ArtifactError(
                f"example {number} of {model.recipe.name} scores {score:.7f} by the {model.engine} engine, and scored "
                f"{example.probability:.7f} when it was exported: try the other engine, or export the run again"
            )


@lru_cache(maxsize=64)
def _fields(inputs: Inputs) -> Fields:
    return Fields(inputs.dense, [(each.name, each.kind) for each in inputs.categorical])


def fields_of(recipe: Recipe) -> Fields:
    """The model's columns, and how they are read."""
    return _fields(recipe.inputs)


def parse_rows(recipe: Recipe, rows: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of raw values by feature name -> (dense (n, n_dense) float32 with NaN for blanks, ids (n, F) int64).

    dense: a finite number, or one as text. categorical: text of up to 8 hex digits, an integer, or any text, as the
    recipe says; `{"id": N}` is a raw id itself. None and "" are blanks. Every feature is given, and no other.
    Raises RowError, which has the row (from 0) and the feature.
    """
    return fields_of(recipe).parse_rows(rows)


def parse_columns(recipe: Recipe, columns: Mapping[str, Sequence[Any]]) -> tuple[np.ndarray, np.ndarray]:
    """The same from one list of raw values a feature."""
    return fields_of(recipe).parse_columns(columns)
