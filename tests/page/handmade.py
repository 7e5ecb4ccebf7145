"""A model made by hand, of a feature of each kind: its graph hashes raw ids by hash v1, as an exported one does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from pocketrec import hashing
from pocketrec.artifact import offsets_of, write_artifact

SLOTS, WIDTH = 5000, 4
DENSE = ["price", "age"]
CATEGORICAL = [{"name": "place", "kind": "hex"}, {"name": "user", "kind": "integer"}, {"name": "title", "kind": "text"}]
KEYS = np.array([hashing.mixing_key(7, table) for table in range(len(CATEGORICAL))])
TITLE_ID = hashing.text_id("Über den Fluss")
OWN_NAMES = {name: name for name in [*DENSE, *(each["name"] for each in CATEGORICAL)]}
LAST_USER = 2**62 - 1
"""A JavaScript number would round it."""

EXAMPLES: list[dict[str, Any]] = [
    {"price": 12.5, "age": 31, "place": "68fd1e64", "user": LAST_USER, "title": {"id": TITLE_ID}},
    {"price": None, "age": 7, "place": "ff", "user": 12, "title": None},
]


def _mixed(x: str, stem: str) -> str:
    """hashing.mix64 of `x` as nodes; the result is `{stem}`. Shifts are of unsigned integers in ONNX."""
    lines = []
    for step, (bits, factor) in enumerate(((30, "first"), (27, "second"), (31, ""))):
        before, after = x if step == 0 else f"{stem}{step}", f"{stem}{step + 1}" if factor else stem
        lines += [
            f"{stem}u{step} = Cast<to={TensorProto.UINT64}>({before})",
            f"{stem}s{step} = BitShift<direction='RIGHT'>({stem}u{step}, by{bits})".replace("'", '"'),
            f"{stem}i{step} = Cast<to={TensorProto.INT64}>({stem}s{step})",
            f"{after if not factor else f'{stem}x{step}'} = BitwiseXor({before}, {stem}i{step})",
        ]
        lines += [f"{after} = Mul({stem}x{step}, {factor})"] if factor else []
    return "\n".join(lines)


GRAPH = f"""
handmade (float[B, {len(DENSE)}] dense, int64[B, {len(CATEGORICAL)}] ids) => (float[B] probability) {{
  blank = IsNaN(dense)
  known = Where(blank, zero, dense)
  positive = Relu(known)
  shifted = Add(positive, one)
  numbers = Log(shifted)
  stepped = Mul(ids, id_step)
  keyed = Add(stepped, keys)
  {_mixed("keyed", "inner")}
  {_mixed("inner", "hashed")}
  unsigned = Cast<to={TensorProto.UINT64}>(hashed)
  upper = BitShift<direction="RIGHT">(unsigned, by32)
  signed = Cast<to={TensorProto.INT64}>(upper)
  scaled = Mul(signed, places)
  scaled_unsigned = Cast<to={TensorProto.UINT64}>(scaled)
  start_unsigned = BitShift<direction="RIGHT">(scaled_unsigned, by32)
  start = Cast<to={TensorProto.INT64}>(start_unsigned)
  starts = Unsqueeze(start, last)
  slots = Add(starts, within)
  rows = Gather<axis=0>(memory, slots)
  flat = Flatten<axis=1>(rows)
  all = Concat<axis=1>(numbers, flat)
  logit = MatMul(all, weight)
  squeezed = Squeeze(logit, last)
  probability = Sigmoid(squeezed)
}}
"""


def weights(seed: int) -> dict[str, np.ndarray]:
    """The memory, and a linear layer over the logarithms of dense values and the looked-up rows."""
    rng = np.random.default_rng(seed)
    memory = rng.normal(size=SLOTS).astype(np.float32)
    weight = rng.normal(scale=0.4, size=(len(DENSE) + WIDTH * len(CATEGORICAL), 1)).astype(np.float32)
    return {"memory": memory, "weight": weight}


def probability(tensors: dict[str, np.ndarray], dense: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """(n,) float64: what the graph computes, by the package's own hash."""
    numbers = np.log1p(np.maximum(np.nan_to_num(dense.astype(np.float64)), 0))
    start = hashing.scale(hashing.mixing_hash(ids, 0, KEYS), SLOTS - WIDTH + 1)
    rows = tensors["memory"][start[:, :, None] + np.arange(WIDTH)].reshape(len(ids), -1)
    logit = np.concatenate([numbers, rows], 1) @ tensors["weight"][:, 0]
    return 1 / (1 + np.exp(-logit))


def graph_of(tensors: dict[str, np.ndarray]) -> bytes:
    """model.onnx, its weights outside."""
    graph = onnx.parser.parse_graph(GRAPH)
    u64 = {f"by{bits}": np.array(bits, np.uint64) for bits in (27, 30, 31, 32)}
    i64 = {
        "id_step": hashing.ID_STEP, "first": hashing._MULTIPLY_1, "second": hashing._MULTIPLY_2, "keys": KEYS,
        "places": SLOTS - WIDTH + 1, "last": [-1], "within": np.arange(WIDTH),
    }  # fmt: skip
    constants = u64 | {name: np.array(value, np.int64) for name, value in i64.items()}
    constants |= {"zero": np.float32(0), "one": np.float32(1)}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    for name, (offset, length) in offsets_of(tensors).items():
        outside = graph.initializer.add(name=name, data_type=TensorProto.FLOAT, dims=tensors[name].shape)
        outside.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "model.safetensors"), ("offset", offset), ("length", length)):
            outside.external_data.add(key=key, value=str(value))
    return onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9
    ).SerializeToString()


def raw(row: dict[str, Any]) -> tuple[list[float], list[int]]:
    dense = [np.nan if row[name] is None else row[name] for name in DENSE]
    place, user, title = (row[each["name"]] for each in CATEGORICAL)
    return dense, [int(place or "0", 16), user or 0, title["id"] if title else 0]


def write(
    path: Path, seed: int = 1, name: str = "handmade", columns: Mapping[str, str] = OWN_NAMES, rows: int = 12_500_000
) -> Path:
    """An artifact of it; `columns` says what its columns are called, `rows` how many each table has."""
    tensors = weights(seed)
    dense, ids = (np.array(part) for part in zip(*map(raw, EXAMPLES), strict=True))
    told = probability(tensors, dense, ids)
    categorical = [{"name": columns[each["name"]], "kind": each["kind"]} for each in CATEGORICAL]
    called = [{columns[name]: value for name, value in row.items()} for row in EXAMPLES]
    recipe = {
        "format": "pocketrec", "version": 1, "hash": 1, "name": name,
        "inputs": {
            "dense": [columns[each] for each in DENSE], "dense_transform": "log1p", "categorical": categorical,
        },
        "ids": {"policy": "raw"},
        "tables": [
            {"feature": each["name"], "num_embeddings": rows, "embedding_dim": WIDTH} for each in categorical
        ],
        "sharing": {"scheme": "robe", "options": {"chunk_size": WIDTH}, "seed": 7},
        "model": {"ranker": "linear", "preset": "handmade", "dense": len(DENSE)},
        "memory": {"dtype": "float32", "slots": SLOTS, "bytes": 4 * SLOTS, "scale_block": 0},
        "sizes": {
            "memory_bytes": 4 * SLOTS, "dense_part_bytes": tensors["weight"].nbytes, "id_map_bytes": 0,
            "full_bytes": 600_000_000, "compression": 30_000,
        },
        "metrics": {"validation": {"rows": 2, "auc": 0.75}, "test": {}}, "data": {"fingerprint": "none", "rows": {}},
        "graph": {"opset": 20, "inputs": ["dense", "ids"], "output": "probability"},
        "examples": [{"row": row, "probability": float(p)} for row, p in zip(called, told, strict=True)],
        "made_by": {"pocketrec": "0.1.0", "date": "2026-11-26"},
    }  # fmt: skip
    write_artifact(path, recipe, tensors, graph_of(tensors))
    return path
