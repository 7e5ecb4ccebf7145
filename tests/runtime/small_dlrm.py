"""Artifacts of small DLRMs with random weights, made without training and without the ONNX exporter: the graph in them
is a stand-in, the weights are real. For what reads weights; graphs are tested where they are made.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from onnx import TensorProto, helper

from pocketrec import EmbeddingBagCollection, Robe, Table, quantize_
from pocketrec.artifact import offsets_of, write_artifact
from pocketrec.data.ids import UNSEEN_ID, FilteredIds, RankedVocabulary, RawIds, Vocabulary
from pocketrec.export.graph import place
from pocketrec.models import DLRM
from pocketrec.sharing import SCHEMES

KINDS = ("hex", "integer", "text", "hex")
DENSE = ("price", "age", "seen")
FEATURES = tuple(f"{kind}_{place}" for place, kind in enumerate(KINDS))


def kept_ids(seed=0):
    """Of each feature the ascending ids seen often enough: many, few, one, none."""
    random = np.random.default_rng(seed)
    return [np.unique(random.integers(0, 1 << bits, n)) for bits, n in ((32, 300), (8, 20), (62, 1))] + [
        np.empty(0, np.int64)
    ]


def policy(name):
    """The ids policy of that name."""
    kept = kept_ids()
    if name == "raw":
        return RawIds(len(KINDS))
    if name == "filtered":
        return FilteredIds.build(kept, 10, 2)
    random = np.random.default_rng(1)
    return Vocabulary(kept) if name == "vocabulary" else RankedVocabulary([random.permutation(ids) for ids in kept])


def dlrm(ids, sharing=None, *, slots=1009, dim=8, bits=None):
    """A model over the four features that takes what `ids` gives out."""
    torch.manual_seed(0)
    sharing = Robe(chunk_size=4) if sharing is None else sharing
    tables = [Table(name, n, dim) for name, n in zip(FEATURES, ids.num_embeddings, strict=True)]
    budget = {} if sharing.row_sparse else {"memory_size": slots}
    embeddings = EmbeddingBagCollection(tables, sharing, init=0.5, **budget)
    model = DLRM(embeddings, len(DENSE), bottom=(16, 12), top=(20, 8)).eval()
    return model if bits is None else quantize_(model, bits)


def expected(model, ids, dense, raw):
    """What PyTorch says of raw values (n, 3) and raw ids (n, 4)."""
    transformed = torch.from_numpy(np.log1p(np.maximum(np.nan_to_num(dense, nan=0.0), 0)).astype(np.float32))
    with torch.no_grad():
        return torch.sigmoid(model(transformed, torch.from_numpy(ids.translate(raw)))).numpy()


def rows(n, seed=0):
    """(dense (n, 3) raw, ids (n, 4) raw), half of the ids among the kept ones."""
    random = np.random.default_rng(seed)
    dense = np.where(random.random((n, 3)) < 0.2, np.nan, random.integers(-3, 500, (n, 3))).astype(np.float32)
    raw = random.integers(0, 1 << 62, (n, 4)) >> random.integers(0, 61, (n, 4))
    for column, kept in enumerate(kept_ids()):
        if len(kept):
            raw[:, column] = np.where(random.random(n) < 0.5, random.choice(kept, n), raw[:, column])
    return dense, raw


def write(path, model, ids, *, examples=(), tensors=None, told=None, exported=None, graph=None):
    """Write the artifact; `told` replaces parts of its recipe, `tensors` some of its tensors (None: left out).

    `exported`: a `pocketrec.export.graph.Graph` to use instead of the stand-in; `graph`: the bytes of another one.
    """
    owner = model.embeddings
    scheme = next(word for word, cls in SCHEMES.items() if isinstance(owner.sharing, cls))
    weights = {name: np.ascontiguousarray(t.detach().numpy()) for name, t in model.state_dict().items()}
    weights |= id_map_tensors(ids)
    weights |= tensors or {}
    recipe = {
        "format": "pocketrec",
        "version": 1,
        "hash": 1,
        "name": "small",
        "inputs": {
            "dense": list(DENSE),
            "dense_transform": "log1p",
            "categorical": [{"name": n, "kind": kind} for n, kind in zip(FEATURES, KINDS, strict=True)],
        },
        "ids": told_ids(ids),
        "tables": [
            {"feature": t.name, "num_embeddings": t.num_embeddings, "embedding_dim": t.embedding_dim}
            for t in owner.tables
        ],
        "sharing": {"scheme": scheme, "options": asdict(owner.sharing), "seed": 0},
        "model": {"ranker": "dlrm", "preset": "kaggle", "dense": len(DENSE)},
        "memory": {"dtype": "float32", "slots": 1009, "bytes": 4036, "scale_block": 64},
        "sizes": {},
        "metrics": {},
        "data": {},
        "graph": {"opset": 20, "inputs": ["dense", "ids"], "output": "probability"},
        "examples": list(examples),
        "made_by": {},
    }
    kept = {name: array for name, array in weights.items() if array is not None and array.dtype != bool}
    graph = graph or stand_in()
    if exported is not None:
        kept = exported.tensors
        graph = place(exported.proto, offsets_of(kept))
    write_artifact(path, recipe | (told or {}), kept, graph)
    return Path(path)


def id_map_tensors(ids):
    """As the exporter names and lays them out."""
    if isinstance(ids, FilteredIds):
        return {"ids.bits": ids.bits}
    if isinstance(ids, RawIds):
        return {}
    kept = ids.kept if isinstance(ids, Vocabulary) else ids._sorted.kept
    told = {"ids.kept": np.concatenate([[0], *kept]).astype(np.int64)}
    if isinstance(ids, RankedVocabulary):
        told["ids.rows"] = np.concatenate([[0], *(rows[1:] for rows in ids._row_of_place)]).astype(np.int32)
    return told


def told_ids(ids):
    """What the recipe says of the policy."""
    if isinstance(ids, RawIds):
        return {"policy": "raw"}
    if isinstance(ids, FilteredIds):
        told = {"probes": ids.probes, "bits": 8 * len(ids.bits), "seed": 0, "unseen_id": UNSEEN_ID}
        return {"policy": "filtered", **told, "columns": list(range(len(KINDS))), "min_count": 2}
    return {"policy": ids.name, "rows": list(ids.num_embeddings), "min_count": 1}


def stand_in(*nodes):
    """A graph of the right signature that says 0.5 of every row; or, from its (B,) `half`, what `nodes` make of it."""
    nodes = [
        helper.make_node("ReduceSum", ["ids", "axes"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Cast", ["nothing"], ["logit"], to=TensorProto.FLOAT),
        helper.make_node("Sigmoid", ["logit"], ["half" if nodes else "probability"]),
        *nodes,
    ]
    graph = helper.make_graph(
        nodes,
        "stand-in",
        [
            helper.make_tensor_value_info("dense", TensorProto.FLOAT, ["B", len(DENSE)]),
            helper.make_tensor_value_info("ids", TensorProto.INT64, ["B", len(KINDS)]),
        ],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["B"])],
        [
            helper.make_tensor("axes", TensorProto.INT64, [1], [1]),
            helper.make_tensor("zero", TensorProto.INT64, [], [0]),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return made.SerializeToString()
