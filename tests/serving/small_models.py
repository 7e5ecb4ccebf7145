"""Artifacts made by hand, for tests of the server: a logistic model of hashed ids, and what it should say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from pocketrec.artifact import offsets_of, write_artifact
from pocketrec.hashing import text_id

DENSE = ["I1", "I2"]
KINDS = {"C1": "hex", "C2": "integer", "odd name[0].x": "text"}
SLOTS = 512
QUOTED = 'a "b\\c]'
"""Another name for the last of them, which msgspec gives no field."""
ROW = {"I1": 3, "I2": None, "C1": "68fd1e64", "C2": 7, "odd name[0].x": "shoes"}
QUOTED_KINDS = {"C1": "hex", "C2": "integer", QUOTED: "text"}
IDS = [0x68FD1E64, 7, text_id("shoes")]
"""Of `ROW`."""


def write_model(
    path: Path,
    seed: int = 0,
    name: str = "small",
    examples: Sequence[dict[str, Any]] = (),
    kinds: dict[str, str] = KINDS,
) -> Path:
    """An artifact of five features; another seed gives other scores. examples: rows like `ROW`."""
    told = [{"row": row, "probability": float(expected([[row["I1"], np.nan]], [IDS], seed)[0])} for row in examples]
    memory = {"memory": np.random.default_rng(seed).normal(size=SLOTS).astype(np.float32)}
    write_artifact(path, _recipe(name, kinds) | {"examples": told}, memory, _graph(memory).SerializeToString())
    return path


def expected(dense: Any, ids: Any, seed: int = 0) -> np.ndarray:
    """(n,) float32: what the model of that seed says."""
    memory = np.random.default_rng(seed).normal(size=SLOTS).astype(np.float32)
    dense = np.nan_to_num(np.log1p(np.maximum(np.array(dense, np.float32), 0)))
    logit = memory[np.array(ids) % SLOTS].sum(1) + dense.sum(1)
    return (1 / (1 + np.exp(-logit))).astype(np.float32)


def _graph(memory: dict[str, np.ndarray]) -> onnx.ModelProto:
    offset, length = offsets_of(memory)["memory"]
    weights = TensorProto(name="memory", dims=[SLOTS], data_type=TensorProto.FLOAT)
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "model.safetensors"), ("offset", str(offset)), ("length", str(length))):
        weights.external_data.add(key=key, value=value)
    constants = [
        helper.make_tensor("slots", TensorProto.INT64, [], [SLOTS]),
        helper.make_tensor("axes", TensorProto.INT64, [1], [1]),
        helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor("one", TensorProto.FLOAT, [], [1.0]),
    ]
    nodes = [
        helper.make_node("IsNaN", ["dense"], ["blank"]),
        helper.make_node("Where", ["blank", "zero", "dense"], ["known"]),
        helper.make_node("Max", ["known", "zero"], ["positive"]),
        helper.make_node("Add", ["positive", "one"], ["more"]),
        helper.make_node("Log", ["more"], ["drawn"]),
        helper.make_node("ReduceSum", ["drawn", "axes"], ["dense_part"], keepdims=0),
        helper.make_node("Mod", ["ids", "slots"], ["slot"]),
        helper.make_node("Gather", ["memory", "slot"], ["read"]),
        helper.make_node("ReduceSum", ["read", "axes"], ["sparse_part"], keepdims=0),
        helper.make_node("Add", ["dense_part", "sparse_part"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    inputs = [
        helper.make_tensor_value_info("dense", TensorProto.FLOAT, ["B", len(DENSE)]),
        helper.make_tensor_value_info("ids", TensorProto.INT64, ["B", len(KINDS)]),
    ]
    output = helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["B"])
    graph = helper.make_graph(nodes, "scores", inputs, [output], [*constants, weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def _recipe(name: str, kinds: dict[str, str]) -> dict[str, Any]:
    return {
        "format": "pocketrec",
        "version": 1,
        "hash": 1,
        "name": name,
        "inputs": {
            "dense": DENSE,
            "dense_transform": "log1p",
            "categorical": [{"name": each, "kind": kind} for each, kind in kinds.items()],
        },
        "ids": {"policy": "raw"},
        "tables": [{"feature": each, "num_embeddings": None, "embedding_dim": 1} for each in kinds],
        "sharing": {"scheme": "robe", "options": {"chunk_size": 1}, "seed": 0},
        "model": {"ranker": "dlrm", "preset": "kaggle", "dense": len(DENSE)},
        "memory": {"dtype": "float32", "slots": SLOTS, "bytes": 4 * SLOTS, "scale_block": 64},
        "sizes": {"memory_bytes": 4 * SLOTS, "dense_part_bytes": 0, "id_map_bytes": 0, "full_bytes": 10**9},
        "metrics": {"validation": {"rows": 10, "auc": 0.75}},
        "data": {"fingerprint": "0" * 32, "rows": {"train": 80, "validation": 10, "test": 10}},
        "graph": {"opset": 20, "inputs": ["dense", "ids"], "output": "probability"},
        "examples": [],
        "made_by": {"pocketrec": "0"},
    }
