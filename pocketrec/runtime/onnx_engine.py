"""Any exported model, by ONNX Runtime. Its weights are the bytes of the artifact's file: they are not copied."""

from __future__ import annotations

import importlib.util

import numpy as np

from pocketrec.artifact import Artifact, ArtifactError
from pocketrec.artifact.archive import TENSORS
from pocketrec.errors import UsageError


class OnnxEngine:
    """A session over an artifact's graph."""

    name = "onnx"
    slice_rows = 1024

    def __init__(self, artifact: Artifact, threads: int) -> None:
        """threads: for one run. Raises UsageError without onnxruntime, ArtifactError for a graph that it refuses."""
        if not is_installed():
            raise UsageError("engine: onnx needs onnxruntime, which is not installed: pip install onnxruntime")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        # Threads that wait by spinning take the processor from those that parse and answer.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        # Views of the mapped file, which the session goes on reading from: kept as long as it is.
        self._weights = artifact.weights
        options.add_external_initializers_from_files_in_memory([TENSORS], [self._weights], [len(self._weights)])
        try:
            self._session = onnxruntime.InferenceSession(artifact.graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # of classes that its C++ part makes up
            raise ArtifactError(f"onnxruntime {onnxruntime.__version__} refuses the graph: {error}") from None
        self._takes_dense = artifact.recipe.n_dense > 0

    def run(self, dense: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """dense (B, n) float32 raw and ids (B, F) int64 raw -> probabilities (B,) float32."""
        inputs = {"dense": dense, "ids": ids} if self._takes_dense else {"ids": ids}
        try:
            probabilities: np.ndarray = self._session.run(["probability"], inputs)[0]
        except Exception as error:
            raise ArtifactError(f"onnxruntime cannot compute the graph: {error}") from None
        return probabilities


def is_installed() -> bool:
    """Whether onnxruntime is there to be imported, which takes a quarter of a second."""
    return importlib.util.find_spec("onnxruntime") is not None
