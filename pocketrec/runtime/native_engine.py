"""DLRM without torch and without onnxruntime: the C++ lookup, and NumPy for the rest. B rows, F features, D width.

For schemes that a layout alone tells (pocketrec/ops/layout.py). Layers are BLAS's, weights are the file's own bytes.
`load` takes it where it can be had: it starts sooner than ONNX Runtime, holds half the memory and is as fast for a row.
Files and servers load with `batches=True` and take ONNX Runtime: for hundreds of rows this engine is as fast only where
NumPy's OpenBLAS knows the processor, and slower where that falls back to narrow vectors (benchmarks/runtime.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from pocketrec.artifact import Artifact, ArtifactError
from pocketrec.runtime.id_maps import IdMap, id_map, vector
from pocketrec.runtime.native_library import address, library
from pocketrec.runtime.scratch import Scratch, Workspace

LAYOUT_SCHEMES = frozenset({"full", "hashing-trick", "hashednets", "robe"})
_LAYOUT = re.compile(r"(embeddings(?:\.stored)?)\.layout(?:_d(\d+))?")
_LAYOUT_WIDTH = 20
_ROWS, _DIM = 1, 3  # places of the table's rows and of D in a row of the layout
Layer = tuple[np.ndarray, np.ndarray]
"""(weight (inputs, outputs), bias (outputs,))"""


class NativeEngine:
    """See `of` for what it takes."""

    name = "native"
    slice_rows = 256

    def __init__(self, rows: Rows, ids: IdMap, bottom: Sequence[Layer], top: Sequence[Layer]) -> None:
        self._rows, self._ids, self._bottom, self._top = rows, ids, bottom, top
        vectors = rows.features + 1
        first, second = np.tril_indices(vectors, -1)
        self._pairs = first * vectors + second
        outputs = sum(len(bias) for _, bias in (*bottom, *top))
        self._scratch = Scratch(outputs + (2 * vectors - 1) * rows.dim + vectors**2 + 2 * len(top[0][0]))

    @classmethod
    def of(cls, artifact: Artifact) -> NativeEngine | None:
        """The engine, or None: no library, a ranker other than DLRM, or a scheme with more to it than a layout.

        Raises ArtifactError for tensors that contradict each other.
        """
        recipe = artifact.recipe
        if library() is None or recipe.model["ranker"] != "dlrm" or not recipe.n_dense:
            return None
        sharing = recipe.sharing
        if sharing["scheme"] not in LAYOUT_SCHEMES or sharing["options"].get("num_hashes", 1) != 1:
            return None
        rows, ids = _rows(artifact), id_map(artifact)
        bottom, top = _layers(artifact, "bottom"), _layers(artifact, "top")
        if rows is None or ids is None or not bottom or not top:
            return None
        pairs = (rows.features + 1) * rows.features // 2
        wanted = (recipe.n_dense, rows.dim), (rows.dim + pairs, 1)
        found = tuple((layers[0][0].shape[0], layers[-1][0].shape[1]) for layers in (bottom, top))
        if rows.features != recipe.n_features or found != wanted:
            raise ArtifactError(f"the layers take and give {found}, and the inputs make {wanted}: export the run again")
        if (ids.ends > rows.layout[:, _ROWS]).any():
            raise ArtifactError("the id map gives ids that lie outside the tables: export the run again")
        return cls(rows, ids, bottom, top)

    def run(self, dense: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """dense (B, n) float32 raw and ids (B, F) int64 raw, both contiguous -> probabilities (B,) float32."""
        count, n, dim = len(ids), self._rows.features + 1, self._rows.dim
        work = self._scratch.workspace(count)
        bottom = _through(self._bottom, np.log1p(np.where(dense > 0, dense, np.float32(0))), work, last_relu=True)
        vectors = work.take(n, dim)
        vectors[:, 0] = bottom
        vectors[:, 1:] = self._rows(self._ids.translate(ids), work.take(n - 1, dim))
        products = np.matmul(vectors, vectors.transpose(0, 2, 1), out=work.take(n, n)).reshape(count, n * n)
        crossed = work.take(dim + len(self._pairs))
        crossed[:, :dim] = bottom
        # Without a mode, `take` would go through a copy: it checks the places first. They are right by construction.
        crossed[:, dim:] = products.take(self._pairs, axis=1, out=work.take(len(self._pairs)), mode="clip")
        logits = _through(self._top, crossed, work, last_relu=False)[:, 0]
        with np.errstate(over="ignore"):  # where exp(-logit) is infinite, the probability is 0
            probabilities: np.ndarray = 1 / (1 + np.exp(-logits))
        return probabilities


class Rows:
    """The rows of the virtual tables, recovered from a memory."""

    def __init__(self, memory: np.ndarray, scales: np.ndarray | None, layout: np.ndarray) -> None:
        """memory: (M,) float32, or int8 with `scales` (ceil(M / 64),) float32. layout: (F, 20) int64, a sound one."""
        self.memory, self.scales, self.layout = memory, scales, layout
        self.features, self.dim = len(layout), int(layout[0, _DIM])

    def __call__(self, ids: np.ndarray, out: np.ndarray) -> np.ndarray:
        """ids (B, F) contiguous int64 within the tables -> `out`, contiguous (B, F, D) float32."""
        native = library()
        assert native is not None
        where = (address(self.memory), address(self.scales), address(self.layout), self.features)
        if not native.pocketrec_lookup(*where, self.features * self.dim, address(ids), len(ids), address(out)):
            raise AssertionError("an id lies outside its table")
        return out


def _rows(artifact: Artifact) -> Rows | None:
    """The memory and its layout, by their names in the `state_dict`; None where they are not of this engine's forms."""
    tensors = artifact.tensors
    layouts = [match for match in map(_LAYOUT.fullmatch, tensors) if match]
    if len(layouts) != 1:
        return None
    owner, width = layouts[0].groups()
    layout = tensors[layouts[0].group()]
    memory = tensors.get(f"{owner}.memory" if width is None else f"{owner}.full_d{width}")
    scales = vector(artifact, f"{owner}.scales", np.float32)
    if memory is None or layout.dtype != np.int64 or layout.shape[1:] != (_LAYOUT_WIDTH,) or not len(layout):
        return None
    memory = memory.reshape(-1)
    if memory.dtype == np.float16:
        memory = memory.astype(np.float32)
    if memory.dtype != (np.float32 if scales is None else np.int8) or len(set(layout[:, _DIM].tolist())) != 1:
        return None
    return _checked(Rows(memory, scales, layout))


def _checked(rows: Rows) -> Rows:
    """Raises ArtifactError for rows that would be read from outside the memory."""
    native, slots = library(), len(rows.memory)
    assert native is not None
    sound = native.pocketrec_layout_is_sound(address(rows.layout), rows.features, rows.features * rows.dim, slots)
    blocks = -(-slots // 64)
    if not sound or (rows.scales is not None and len(rows.scales) != blocks):
        raise ArtifactError(f"the layout does not fit a memory of {slots} slots: export the run again")
    return rows


def _layers(artifact: Artifact, name: str) -> list[Layer]:
    """The layers `name.0`, `name.2`, ...; empty where one has no bias, or there are none."""
    tensors, layers = artifact.tensors, list[Layer]()
    while (weight := tensors.get(f"{name}.{2 * len(layers)}.weight")) is not None:
        bias = tensors.get(f"{name}.{2 * len(layers)}.bias")
        if bias is None or weight.ndim != 2 or bias.shape != weight.shape[:1] or weight.dtype != np.float32:
            return []
        if layers and weight.shape[1] != layers[-1][0].shape[1]:
            raise ArtifactError(f"{name}.{2 * len(layers)}.weight does not fit the layer before: export the run again")
        layers.append((weight.T, bias))
    return layers


def _through(layers: Sequence[Layer], x: np.ndarray, work: Workspace, last_relu: bool) -> np.ndarray:
    """(B, inputs) -> (B, outputs) of the last layer; a ReLU after each but, unless `last_relu`, the last."""
    for number, (weight, bias) in enumerate(layers):
        x = np.matmul(x, weight, out=work.take(len(bias)))
        x += bias
        if last_relu or number < len(layers) - 1:
            np.maximum(x, 0, out=x)
    return x
