"""A trained run with full tables -> another run folder, the same model with its tables in transform codes."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pocketrec.compress import sensitivity
from pocketrec.compress.transform import encode_, table_weights
from pocketrec.data import ClickLog
from pocketrec.embedding import EmbeddingBagCollection
from pocketrec.errors import DataError, UsageError
from pocketrec.files import write_json
from pocketrec.runs.build import Shape, build_model, sizes_of
from pocketrec.runs.config import RunConfig
from pocketrec.runs.folder import CONFIG, METRICS, check_folder, read_metrics
from pocketrec.runs.run import TrainedRun, batches, evaluate_run, open_run, versions
from pocketrec.training.checkpoint import save

MEASURED = ("auc", "log_loss")


def encode_run(
    log: ClickLog,
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    compression: float,
    options: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Encode the tables of the run in `source`, evaluate, and write `config.json`, `model.pt` and `metrics.json`.

    Rows get bits by how often training saw them where the run's ids are `ranked`; else all rows of a table are alike.

    Args:
        log: the one that the run was trained on.
        source: a finished run with sharing `full`.
        out: a new folder.
        compression: as in a `RunConfig`.
        options: arguments of `TransformCoding`.
        progress: show live lines on stderr.

    Returns what `metrics.json` holds. Raises UsageError for another run, or a budget too small for anything.
    """
    folder = Path(out)
    run, before = open_run(source, log), read_metrics(Path(source))
    if run.config.sharing != "full":
        raise UsageError(f"{run.folder}: has sharing {run.config.sharing!r}: only a run with 'full' can be encoded")
    config = replace(
        run.config,
        sharing="transform-coding",
        compression=compression,
        options=dict(options or {}),
        precision="float32",
    )
    about = {
        "run": config.as_dict(),
        "data": log.manifest.fingerprint,
        "log": str(log.folder.resolve()),
        "shape": asdict(Shape.of(log.manifest, config)),
        "versions": versions(),
        "made_from": {"folder": run.folder.name, "run": run.config.as_dict()},
    }
    check_folder(folder, about, resume=None)
    started = time.monotonic()
    made = _encoded(run, log, config, progress)
    seconds = time.monotonic() - started
    measured = _evaluated(made, log)
    metrics = {
        **measured,
        **{f"full_{name}": before.get(name) for name in ("best_validation_auc", "test_auc", "test_log_loss")},
        "full_stored_bytes": before["stored_bytes"],
        **{name: before.get(name) for name in ("steps", "steps_to_best", "stopped_early")},
        "seconds": seconds,
        **asdict(sizes_of(made.model, log, made.ids, config)),
        "seed": config.training.seed,
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG, about)
    save(folder / "model.pt", dict(made.model.state_dict()))
    write_json(folder / METRICS, metrics)
    return read_metrics(folder)


def _encoded(run: TrainedRun, log: ClickLog, config: RunConfig, progress: bool) -> TrainedRun:
    """The run's model with other embeddings."""
    shape = Shape.of(log.manifest, config)
    columns = shape.columns(log.manifest)
    made = build_model(shape, [run.ids.num_embeddings[i] for i in columns], config)
    counts = _counts(log, config, columns)
    full, coded = _collections(run.model), _collections(made)
    weights = {name: t for name, t in run.model.state_dict().items() if not name.startswith(tuple(full))}
    made.load_state_dict(weights, strict=False)
    for own, target in zip(full.values(), coded.values(), strict=True):
        measured = sensitivity(run.model, own, batches(run, log, "train"), progress=progress)
        encode_(target, table_weights(own), counts=counts, sensitivity=measured, progress=progress)
    return TrainedRun(run.folder, config, shape, run.ids, made)


def _collections(model: nn.Module) -> dict[str, EmbeddingBagCollection]:
    """By dotted name with a dot behind: what names of their tensors begin with."""
    return {f"{name}.": m for name, m in model.named_modules() if isinstance(m, EmbeddingBagCollection)}


def _counts(log: ClickLog, config: RunConfig, columns: Sequence[int]) -> list[Tensor] | None:
    if config.ids != "ranked":
        return None
    ranked = log.ranked_counts(config.min_count)
    return [torch.from_numpy(ranked[i]) for i in columns]


def _evaluated(made: TrainedRun, log: ClickLog) -> dict[str, Any]:
    """As training tells it; examples scored a second in place of those trained on."""
    started, rows = time.monotonic(), 0
    told: dict[str, Any] = {f"best_validation_{name}": None for name in MEASURED}
    for split, prefix in (("validation", "best_validation"), ("test", "test")):
        if log.manifest.rows[split]:
            metrics = evaluate_run(made, log, split)
            names = MEASURED if split == "validation" else [n for n in asdict(metrics) if n != "note"]
            told |= {f"{prefix}_{name}": getattr(metrics, name) for name in names}
            rows += metrics.rows
    if not rows:
        raise DataError(f"{log.folder}: has neither validation nor test rows to measure the encoded model on")
    return told | {"samples_per_second": rows / (time.monotonic() - started)}
