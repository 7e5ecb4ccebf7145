"""A model as one ONNX graph, from a log's raw values to a probability.

    dense (B, n) raw --> log(1 + max(x, 0)), blank = 0 --+
                                                         +--> the model --> sigmoid --> probability (B,)
    ids (B, F) raw ----> id map ----> hash, lookup ------+

The model is traced by `torch.export` with its lookups in plain arithmetic (`pocketrec.export.plain`), written by
PyTorch's ONNX exporter, and tidied here: weights keep their names in the `state_dict` and lie outside the graph.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from pocketrec import ops
from pocketrec.data.ids import Ids
from pocketrec.embedding import owners_in, quantize_
from pocketrec.export.dialects import OPSET, Dialect, Onnx
from pocketrec.export.id_maps import id_map
from pocketrec.export.initializers import tidy
from pocketrec.export.parity import WEIGHTS
from pocketrec.export.plain import plain

if TYPE_CHECKING:
    import onnx

OUTPUT = "probability"


@dataclass(frozen=True)
class Graph:
    """A graph, and its weights beside it."""

    proto: onnx.ModelProto
    """Initialisers of more than 1 KB name their tensor and hold nothing; see `place`."""
    tensors: dict[str, np.ndarray]
    """Every weight by its name in the `state_dict`, as it is stored; other large constants by names of their own."""


class Whole(nn.Module):
    """From raw values to a probability."""

    def __init__(self, model: nn.Module, ids: nn.Module, n_dense: int) -> None:
        super().__init__()
        self.model, self.ids, self.n_dense = model, ids, n_dense

    def forward(self, *inputs: Tensor) -> Tensor:
        """dense (B, n) float32 unless n is 0, ids (B, F) int64 -> (B,)."""
        ids = inputs[-1]
        dense = ids.new_zeros(ids.shape[0], 0).float()
        if self.n_dense:
            dense = torch.log1p(torch.where(inputs[0] > 0, inputs[0], 0.0))
        logits: Tensor = self.model(dense, self.ids(ids))
        return logits.reshape(-1).float().sigmoid()


def build_graph(model: nn.Module, ids: Ids, columns: Sequence[int], n_dense: int) -> Graph:
    """The graph of a click model `model(dense, ids) -> logits`, for its id policy.

    Args:
        model: trained; it is left as it is.
        ids: the policy of the log.
        columns: where the log has the model's features.
        n_dense: dense columns; with 0 the graph has no input `dense`.

    Raises:
        UsageError: what no graph can say, by name.
    """
    dialect = Onnx()
    served = served_copy(model)
    pack_(served)
    whole = Whole(served, id_map(ids, columns, dialect), n_dense).eval()
    example = [torch.zeros(3, len(columns), dtype=torch.int64)]
    names = ["ids"]
    if n_dense:
        example.insert(0, torch.zeros(3, n_dense))
        names.insert(0, "dense")
    proto_model = to_onnx(traced(whole, tuple(example), dialect), names, OUTPUT)
    proto, tensors = tidy(proto_model, model, prefix="model.")
    return Graph(proto, tensors)


def served_copy(model: nn.Module) -> nn.Module:
    """The model as it is served: memories trained for integers in integers, all other numbers in float32."""
    if any(t.is_floating_point() and t.dtype != torch.float32 for t in model.state_dict().values()):
        served = copy.deepcopy(model).float()
    else:
        tensors = [*model.parameters(), *model.buffers()]
        served = copy.deepcopy(model, {id(t): t for t in tensors})
    owners = owners_in(served)
    if any(owner.bits is not None and owner.scales is None for owner in owners):
        quantize_(served)
    return served.eval()


def pack_(served: nn.Module) -> None:
    """Memories in int4, held as int8, become what is stored: two slots a byte. For graphs alone."""
    for owner in owners_in(served):
        if owner.bits == 4 and owner.scales is not None and owner.memory.dtype == torch.int8:
            owner.memory = ops.pack(owner.memory)


def traced(whole: nn.Module, example: tuple[Tensor, ...], dialect: Dialect) -> torch.export.ExportedProgram:
    """The module as `torch.export` sees it, for batches of any size."""
    batch = torch.export.Dim("B")
    with plain(dialect), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own making
        shapes = ({0: batch},) * len(example)
        return torch.export.export(whole, example, dynamic_shapes={"inputs": shapes}, strict=False)


def to_onnx(program: torch.export.ExportedProgram, inputs: Sequence[str], output: str) -> Any:
    """An `onnx_ir.Model`, constants folded."""
    # It tells, on stderr, that torchvision is not there, which nothing here needs.
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=[output],
            verbose=False,
            optimize=True,
        )
    logger.setLevel(level)
    assert exported is not None
    return exported.model


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
