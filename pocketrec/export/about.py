"""What recipe.json says of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
from torch import nn

from pocketrec import hashing
from pocketrec.artifact.graph import OPSET
from pocketrec.artifact.recipe import FORMAT, VERSION
from pocketrec.data import ClickLog
from pocketrec.data.ids import UNSEEN_ID, FilteredIds
from pocketrec.data.manifest import Manifest
from pocketrec.embedding import owners_in, stored_bytes
from pocketrec.ops.layout import SCALE_BLOCK
from pocketrec.runs import TrainedRun
from pocketrec.runs.build import sizes_of
from pocketrec.runs.run import versions


def about(run: TrainedRun, log: ClickLog, name: str, dtype: str) -> dict[str, Any]:
    """All of the recipe but its metrics, its examples and the sizes of what was written.

    The run has its memory in `dtype` already.
    """
    manifest, shape = log.manifest, run.shape
    return {
        "format": FORMAT,
        "version": VERSION,
        "hash": hashing.VERSION,
        "name": name,
        "inputs": inputs_of(run, manifest),
        "ids": _ids(run, shape.columns(manifest)),
        "tables": _tables(run.model),
        "sharing": {
            "scheme": run.config.sharing,
            "options": asdict(run.config.scheme()),  # type: ignore[call-overload]
            "seed": run.config.training.seed,
        },
        "model": _model(run),
        "memory": _memory(run.model, dtype),
        "sizes": _sizes(run, log),
        "data": {"fingerprint": manifest.fingerprint, "rows": dict(manifest.rows)},
        "graph": {"opset": OPSET, "inputs": ["dense", "ids"] if shape.dense else ["ids"], "output": "probability"},
        "made_by": {**versions(), "date": _now()},
    }


def inputs_of(run: TrainedRun, manifest: Manifest) -> dict[str, Any]:
    """The columns of a log that a model takes, in its order."""
    shape = run.shape
    kinds = [manifest.id_kinds[column] for column in shape.columns(manifest)]
    return {
        "dense": list(shape.dense),
        "dense_transform": "log1p",
        "categorical": [{"name": n, "kind": kind} for n, kind in zip(shape.features, kinds, strict=True)],
    }


def _ids(run: TrainedRun, columns: Sequence[int]) -> dict[str, Any]:
    policy = run.config.ids
    told: dict[str, Any] = {"policy": policy}
    if isinstance(run.ids, FilteredIds):
        told |= {
            "probes": run.ids.probes,
            "bits": 8 * len(run.ids.bits),
            "seed": run.ids.seed,
            "unseen_id": UNSEEN_ID,
            "columns": list(columns),
        }
    elif policy != "raw":
        told["rows"] = [run.ids.num_embeddings[column] for column in columns]
    return told if policy == "raw" else told | {"min_count": run.config.min_count}


def _tables(model: nn.Module) -> list[dict[str, Any]]:
    """Of the embeddings; linear weights of ids, where a ranker has them, are tables of width 1 of the same rows."""
    return [
        {"feature": feature, "num_embeddings": table.num_embeddings, "embedding_dim": table.embedding_dim}
        for table in owners_in(model)[0].tables
        for feature in table.features
    ]


def _model(run: TrainedRun) -> dict[str, Any]:
    return {
        "ranker": run.config.model,
        "preset": run.config.preset,
        "dense": len(run.shape.dense),
        "embedding_dim": run.config.width,
        "dense_parameters": _dense_parameters(run.model),
    }


def _dense_parameters(model: nn.Module) -> int:
    """Of the layers around the embeddings."""
    embedded = {id(p) for owner in owners_in(model) for p in owner.parameters()}
    return sum(p.numel() for p in model.parameters() if id(p) not in embedded)


def _memory(model: nn.Module, dtype: str) -> dict[str, Any]:
    memories = {
        id(tensor): tensor.numel()
        for owner in owners_in(model)
        for tensor in (getattr(owner, part.parameter) for part in owner._parts)
    }
    return {
        "dtype": dtype,
        "slots": sum(memories.values()),
        "bytes": stored_bytes(model),
        "scale_block": SCALE_BLOCK,
    }


def _sizes(run: TrainedRun, log: ClickLog) -> dict[str, Any]:
    counted = sizes_of(run.model, log, run.ids, run.config)
    return {
        "memory_bytes": counted.stored_bytes,
        "dense_part_bytes": 4 * _dense_parameters(run.model),
        "id_map_bytes": counted.id_map_bytes,
        "full_bytes": counted.full_bytes,
        "compression": counted.compression,
        "compression_min_count": counted.compression_min_count,
        "compression_with_id_map": counted.compression_with_id_map,
    }


def sizes_written(tensors: Mapping[str, np.ndarray], graph: bytes) -> dict[str, int]:
    """Of what an artifact holds, in bytes."""
    return {"weights_bytes": sum(t.nbytes for t in tensors.values()), "graph_bytes": len(graph)}


def _now() -> str:
    """UTC, to the second; a build that must come out the same twice sets SOURCE_DATE_EPOCH."""
    fixed = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.fromtimestamp(int(fixed), UTC) if fixed else datetime.now(UTC)
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
