"""A small artifact made by hand, and its parts, for tests that need no training."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from pocketrec.artifact import offsets_of
from pocketrec.artifact.archive import GRAPH, RECIPE, TENSORS

DENSE, FEATURES, SLOTS = ["I1", "I2"], ["C1", "C2", "C3"], 512


def tensors(seed: int = 0) -> dict[str, np.ndarray]:
    """A memory of 512 slots, integers of another width, and a weight for each dense column."""
    random = np.random.default_rng(seed)
    return {
        "memory": random.normal(size=SLOTS).astype(np.float32),
        "filter": random.integers(0, 256, 600).astype(np.uint8),
        "steps": np.arange(200, dtype=np.int64),
        "half": random.normal(size=(300, 2)).astype(np.float16),
    }


def external(name: str, array: np.ndarray, offset: int, length: int, location: str = TENSORS) -> onnx.TensorProto:
    """An initialiser whose bytes lie in the file."""
    proto = TensorProto(name=name, dims=array.shape, data_type=helper.np_dtype_to_tensor_dtype(array.dtype))
    proto.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        proto.external_data.add(key=key, value=value)
    return proto


def model(arrays: dict[str, np.ndarray], n_dense: int = len(DENSE)) -> onnx.ModelProto:
    """probability = sigmoid(sum of memory[id % 512] + sum of dense), weights outside."""
    where = offsets_of(arrays)
    nodes = [
        helper.make_node("Mod", ["ids", "slots"], ["slot"]),
        helper.make_node("Gather", ["memory", "slot"], ["read"]),
        helper.make_node("ReduceSum", ["read", "axes"], ["summed"], keepdims=0),
    ]
    nodes += [helper.make_node("ReduceSum", ["dense", "axes"], ["drawn"], keepdims=0)] if n_dense else []
    nodes += [helper.make_node("Add", ["summed", "drawn"], ["logit"])] if n_dense else []
    nodes += [helper.make_node("Sigmoid", ["logit" if n_dense else "summed"], ["probability"])]
    inputs = [helper.make_tensor_value_info("dense", TensorProto.FLOAT, ["B", n_dense])] if n_dense else []
    inputs += [helper.make_tensor_value_info("ids", TensorProto.INT64, ["B", len(FEATURES)])]
    inline = [
        helper.make_tensor("slots", TensorProto.INT64, [], [SLOTS]),
        helper.make_tensor("axes", TensorProto.INT64, [1], [1]),
    ]
    graph = helper.make_graph(
        nodes,
        "scores",
        inputs,
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["B"])],
        inline + [external(name, arrays[name], *where[name]) for name in ("memory", "half")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def recipe() -> dict[str, Any]:
    """What recipe.json says of it, without `files`."""
    return {
        "format": "pocketrec",
        "version": 1,
        "hash": 1,
        "name": "small",
        "inputs": {
            "dense": list(DENSE),
            "dense_transform": "log1p",
            "categorical": [
                {"name": name, "kind": kind} for name, kind in zip(FEATURES, ("hex", "integer", "text"), strict=True)
            ],
        },
        "ids": {"policy": "raw"},
        "tables": [{"feature": name, "num_embeddings": None, "embedding_dim": 1} for name in FEATURES],
        "sharing": {"scheme": "robe", "options": {"chunk_size": 1}, "seed": 0},
        "model": {"ranker": "dlrm", "preset": "kaggle", "dense": len(DENSE)},
        "memory": {"dtype": "float32", "slots": SLOTS, "bytes": 4 * SLOTS, "scale_block": 64},
        "sizes": {"memory_bytes": 4 * SLOTS, "dense_part_bytes": 0, "id_map_bytes": 0, "full_bytes": 10**9},
        "metrics": {"validation": {"rows": 10, "auc": 0.75}},
        "data": {"fingerprint": "0" * 32, "rows": {"train": 80, "validation": 10, "test": 10}},
        "graph": {"opset": 20, "inputs": ["dense", "ids"], "output": "probability"},
        "examples": [{"row": {"I1": 3, "I2": None, "C1": "68fd1e64", "C2": 7, "C3": {"id": 9}}, "probability": 0.5}],
        "made_by": {"pocketrec": "0"},
    }


def packed(entries: dict[str, bytes]) -> bytes:
    """The file with these entries, sealed: checksums of the zip fit."""
    from pocketrec.artifact.archive import write_entries

    file = io.BytesIO()
    write_entries(file, [[memoryview(entries[name])] for name in (RECIPE, TENSORS, GRAPH)])
    return file.getvalue()
