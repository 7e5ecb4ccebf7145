"""An export is held against PyTorch before it is kept: on the same rows it must say the same, or it is no export."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from pocketrec.artifact.archive import TENSORS
from pocketrec.errors import PocketrecError, UsageError

TOLERANCE = 1e-5
"""How far a probability, or a number of another output, may be from PyTorch's."""
WEIGHTS = TENSORS
"""Where a graph looks for its weights."""


class ExportError(PocketrecError, RuntimeError):
    """An export that says something else than the model it was made from (exit code 1)."""


def check(graph: bytes, weights: bytes | None, expected: np.ndarray, dense: np.ndarray, ids: np.ndarray) -> float:
    """The largest difference between what a graph says of rows and what PyTorch said.

    Args:
        graph: the .onnx, placed.
        weights: what it calls `WEIGHTS`; None where they lie within it.
        expected: (n,) of PyTorch.
        dense: (n, n_dense) float32, raw.
        ids: (n, F) int64, raw.

    Raises:
        ExportError: it is above `TOLERANCE`, or one of them is not a number.
        UsageError: no rows, which would prove nothing.
    """
    feeds: Mapping[str, np.ndarray] = {"dense": np.asarray(dense, np.float32), "ids": np.asarray(ids, np.int64)}
    return compare(run_onnx(graph, weights, feeds), expected, "the ONNX graph")


def compare(got: np.ndarray, expected: np.ndarray, what: str) -> float:
    """The largest difference of two arrays. Raises as `check`."""
    if not expected.size:
        raise UsageError("an export is checked on rows, and there are none: give some")
    if got.shape != expected.shape:
        raise ExportError(f"{what} gives {got.shape} where PyTorch gives {expected.shape}: nothing was written")
    apart = np.abs(got.astype(np.float64) - expected.astype(np.float64))
    apart = np.where(np.isnan(got) & np.isnan(expected), np.inf, apart)
    worst = int(np.nan_to_num(apart, nan=np.inf).argmax())
    largest = float(apart.flat[worst])
    if not largest <= TOLERANCE:
        row = int(np.unravel_index(worst, apart.shape)[0])
        raise ExportError(
            f"{what} says {got.flat[worst]:.7g} of row {row} where PyTorch says {expected.flat[worst]:.7g}, which is "
            f"{largest:.2g} apart and may be {TOLERANCE:g}; nothing was written"
        )
    return largest


def run_onnx(graph: bytes | os.PathLike[str], weights: bytes | None, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
    """What onnxruntime makes of a graph's first output, on one thread; feeds that it does not take are left out."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if weights is not None:
        options.add_external_initializers_from_files_in_memory([WEIGHTS], [weights], [len(weights)])
    source = graph if isinstance(graph, bytes) else os.fspath(graph)
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    wanted = {value.name for value in session.get_inputs()}
    out: np.ndarray = session.run(None, {name: array for name, array in feeds.items() if name in wanted})[0]
    return out
