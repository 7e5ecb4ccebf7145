"""A model as one ONNX graph, from a log's raw values to a probability.

    dense (B, n) raw --> log(1 + max(x, 0)), blank = 0 --+
                                                         +--> the model --> sigmoid --> probability (B,)
    ids (B, F) raw ----> id map ----> hash, lookup ------+

The model is traced by `torch.export` with its lookups in plain arithmetic (`pocketrec.export.plain`), written by
PyTorch's ONNX exporter, and tidied: weights keep their names in the `state_dict` and lie outside the graph.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from pocketrec.data.ids import Ids
from pocketrec.export.dialects import OPSET, Onnx
from pocketrec.export.initializers import tidy
from pocketrec.export.parity import WEIGHTS
from pocketrec.export.tracing import PREFIX, Source, free_axes, traced, whole

if TYPE_CHECKING:
    import onnx

__all__ = ["Graph", "build_graph", "graph_of", "place"]


@dataclass(frozen=True)
class Graph:
    """A graph, and its weights beside it."""

    proto: onnx.ModelProto
    """Initialisers of more than 1 KB name their tensor and hold nothing; see `place`."""
    tensors: dict[str, np.ndarray]
    """Every weight by its name in the `state_dict`, as it is stored; other large constants by names of their own."""


def build_graph(model: nn.Module, ids: Ids, columns: Sequence[int], n_dense: int) -> Graph:
    """The graph of a click model `model(dense, ids) -> logits`, for its id policy.

    Args:
        model: trained; it is left as it is.
        ids: the policy of the log.
        columns: where the log has the model's features.
        n_dense: dense columns; with 0 the graph has no input `dense`.

    Raises:
        UsageError: a model that cannot be traced.
    """
    dense, raw_ids = torch.zeros(3, n_dense), torch.zeros(3, len(columns), dtype=torch.int64)
    return graph_of(whole(model, ids, columns, dense, raw_ids, Onnx()), model)


def graph_of(source: Source, model: nn.Module) -> Graph:
    """The graph of a module that holds `model` as it is served."""
    program = traced(source, Onnx())
    logging.getLogger("torch.onnx._internal.exporter._registration").addFilter(_matters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own making
        exported: Any = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(source.names),
            output_names=[source.output],
            dynamic_shapes=free_axes(source),  # for their names; the sizes are those of the program
            verbose=False,
            optimize=True,
        )
    return Graph(*tidy(exported.model, model, source.module.get_submodule(PREFIX[:-1]), PREFIX))


def _matters(record: logging.LogRecord) -> bool:
    """Not that torchvision is not there, which the exporter tells on stderr and nothing here needs."""
    return "torchvision" not in record.getMessage()


def place(proto: onnx.ModelProto, offsets: Mapping[str, tuple[int, int]]) -> bytes:
    """The graph as a file, its weights at (offset, length) in bytes of the file `WEIGHTS` beside it.

    Raises:
        KeyError: a weight that `offsets` lacks.
    """
    import onnx

    placed = onnx.ModelProto()
    placed.CopyFrom(proto)
    for tensor in placed.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            offset, length = offsets[tensor.name]
            del tensor.external_data[:]
            for key, value in (("location", WEIGHTS), ("offset", offset), ("length", length)):
                tensor.external_data.add(key=key, value=str(value))
    return placed.SerializeToString(deterministic=True)
