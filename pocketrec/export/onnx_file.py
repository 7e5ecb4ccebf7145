"""One .onnx file with its weights inside, for whoever brings an ONNX runtime."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn

from pocketrec.data.ids import Ids
from pocketrec.errors import UsageError
from pocketrec.export import parity
from pocketrec.export.bags import PaddedBags
from pocketrec.export.dialects import Onnx
from pocketrec.export.graph import graph_of
from pocketrec.export.out import check_out
from pocketrec.export.tracing import called, whole
from pocketrec.files import atomic_path

if TYPE_CHECKING:
    import onnx

LARGEST = (1 << 31) - (1 << 20)
"""Bytes that a protocol buffer holds."""


def export_onnx(
    model: nn.Module,
    example: Sequence[Tensor | PaddedBags],
    out: str | os.PathLike[str],
    *,
    ids: Ids | None = None,
    columns: Sequence[int] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> float:
    """Write a model as one .onnx file of opset 20, and return how far it is from PyTorch on the example rows.

    The batch is dynamic, and so is the length of padded bags. There are no loops, no sequences and no custom operators.

    Args:
        model: left as it is. Rows are computed in float32 whatever they are stored in.
        example: real rows. With `ids`: `(dense, ids)`, raw values of a log, (B, n) float32 and (B, F) int64; the file
            then holds all from them to `probability`. Else what the model is called with, tensors or `PaddedBags`: its
            inputs have the names of the forward's arguments, those of bags `ids`, `mask` and `weights`; it gives
            `output`.
        out: the file; one that is there is replaced once the new one is found right.
        ids: the policy of the log, for a click model that gives logits.
        columns: where the log has the model's features; all of them, in order, unless told.
        metadata: texts that the file carries, by key, as its `metadata_props`.

    Raises:
        ExportError: it differs from PyTorch by more than 1e-5; nothing is written then.
        UsageError: a model that cannot be traced, such as one that makes bags of offsets; 2 GB or more; a folder where
            the file should go.
    """
    check_out(out)
    if ids is None:
        source = called(model, example)
    else:
        dense, raw_ids = example
        assert isinstance(dense, Tensor)
        assert isinstance(raw_ids, Tensor)
        source = whole(model, ids, columns or range(raw_ids.shape[1]), dense, raw_ids, Onnx())
    built = graph_of(source, model)
    file = with_weights(built.proto, built.tensors, metadata or {})
    feeds = {name: tensor.numpy() for name, tensor in zip(source.names, source.inputs, strict=True)}
    apart = parity.compare(parity.run_onnx(file, None, feeds), source.expected, "the ONNX graph")
    with atomic_path(out) as temporary:
        temporary.write_bytes(file)
    return apart


def with_weights(proto: onnx.ModelProto, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """A graph as one file with its weights and some texts inside.

    Raises:
        UsageError: 2 GB or more, which ONNX cannot hold.
    """
    import onnx

    held = sum(
        np.prod(i.dims) * onnx.helper.tensor_dtype_to_np_dtype(i.data_type).itemsize for i in proto.graph.initializer
    )
    if held > LARGEST:
        raise UsageError(f"one .onnx file holds less than 2 GB, the weights take {held}: export an artifact instead")
    placed = onnx.ModelProto()
    placed.CopyFrom(proto)
    for tensor in placed.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            del tensor.external_data[:]
            tensor.ClearField("data_location")
            tensor.raw_data = np.ascontiguousarray(tensors[tensor.name]).tobytes()
    onnx.helper.set_model_props(placed, dict(metadata))
    return placed.SerializeToString(deterministic=True)
