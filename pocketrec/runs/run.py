"""Train one RunConfig on one click log into a run folder; open such a folder again."""

from __future__ import annotations

import os
import platform
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import pocketrec
from pocketrec import hashing
from pocketrec.data import ClickLog
from pocketrec.data.ids import Ids
from pocketrec.errors import DataError, UsageError
from pocketrec.files import remove_parts, write_json
from pocketrec.runs.build import Shape, Sizes, build_ids, build_model, completed, sizes_of
from pocketrec.runs.config import RunConfig
from pocketrec.runs.folder import CONFIG, METRICS, check_folder, read_config, read_metrics, undo
from pocketrec.sharing import CODED
from pocketrec.training import Metrics, Result, ShouldStop, evaluate, load_weights, train

EVALUATION_BATCH = 16_384


def versions() -> dict[str, str]:
    """Of everything that decides a result."""
    return {
        "pocketrec": pocketrec.__version__,
        "hash": f"v{hashing.VERSION}",
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


@dataclass(frozen=True)
class TrainedRun:
    """A run folder, opened."""

    folder: Path
    config: RunConfig
    shape: Shape
    ids: Ids
    model: nn.Module


def train_run(
    log: ClickLog,
    config: RunConfig,
    out: str | os.PathLike[str],
    *,
    resume: bool = False,
    progress: bool = True,
    log_to_tensorboard: bool = False,
    should_stop: ShouldStop | None = None,
) -> dict[str, Any]:
    """Train, test, and write `config.json`, `history.csv`, `checkpoint.pt`, `model.pt` and, last, `metrics.json`.

    Returns what `metrics.json` holds. `should_stop` is that of `train`. Raises UsageError for an `out` that holds
    something else or another run, TrainingError as `train` does.
    """
    if config.sharing in CODED:
        raise UsageError(
            f"sharing {config.sharing!r} cannot be trained: train with sharing 'full' and ids 'ranked', then make "
            "codes of that run with pocketrec encode"
        )
    folder = Path(out)
    config = completed(config, log.manifest)
    shape = Shape.of(log.manifest, config)
    about = {
        "run": config.as_dict(),
        "data": log.manifest.fingerprint,
        "log": str(log.folder.resolve()),
        "shape": asdict(shape),
        "versions": versions(),
    }
    check_folder(folder, about, resume)
    if resume and (folder / METRICS).exists():
        print(f"{folder} holds this run, finished: nothing to train", file=sys.stderr)
        return read_metrics(folder)
    ids = build_ids(log, config)
    run = TrainedRun(folder, config, shape, ids, _model(log, shape, ids, config))
    write_json(folder / CONFIG, about)
    remove_parts(folder)
    try:
        result = train(
            run.model,
            batches(run, log, "train"),
            batches(run, log, "validation") if log.manifest.rows["validation"] else None,
            config=config.training,
            out=folder,
            resume=resume,
            identity={"run": _identity(config), "data": about["data"], "hash": hashing.VERSION},
            progress=progress,
            log_to_tensorboard=log_to_tensorboard,
            should_stop=should_stop,
        )
    except UsageError:
        undo(folder)
        raise
    started = time.perf_counter()
    test = evaluate_run(run, log, "test") if log.manifest.rows["test"] else None
    metrics = _summary(result, test, sizes_of(run.model, log, ids, config), config)
    metrics["test_seconds"] = time.perf_counter() - started
    write_json(folder / METRICS, metrics)
    return read_metrics(folder)


def open_run(folder: str | os.PathLike[str], log: ClickLog) -> TrainedRun:
    """The trained model of a run folder, with its ids policy.

    Raises TrainingError when the folder holds no finished run, DataError when `log` is not the one it was trained on
    and its ids need that log's vocabulary or filter.
    """
    folder = Path(folder)
    about = read_config(folder)
    config = RunConfig.from_dict(about["run"], str(folder / CONFIG))
    shape = Shape(**about["shape"])
    shape.columns(log.manifest)
    if config.ids != "raw" and log.manifest.fingerprint != about["data"]:
        raise DataError(
            f"{log.folder}: is not the log that {folder} was trained on, and ids {config.ids!r} come from that log's "
            "training split; give that folder, or train with --ids raw, which needs no map"
        )
    ids = build_ids(log, config)
    model = _model(log, shape, ids, config)
    load_weights(model, folder)
    return TrainedRun(folder, config, shape, ids, model)


def evaluate_run(run: TrainedRun, log: ClickLog, split: str, device: str | None = None) -> Metrics:
    """Quality of a trained run on one split; on the device it was trained on, or another."""
    if not log.manifest.rows.get(split, 1):
        raise DataError(f"{log.folder}: the {split} split is empty")
    return evaluate(run.model, batches(run, log, split), device=device or run.config.training.device)


def _model(log: ClickLog, shape: Shape, ids: Ids, config: RunConfig) -> nn.Module:
    return build_model(shape, [ids.num_embeddings[i] for i in shape.columns(log.manifest)], config)


def _identity(config: RunConfig) -> dict[str, Any]:
    """What a checkpoint must agree on beside the TrainConfig, which `train` compares itself."""
    return {name: value for name, value in config.as_dict().items() if name != "training"}


def batches(run: TrainedRun, log: ClickLog, split: str) -> Any:
    """Of one split, as the run's model takes them; those of training shuffled, in its batch size."""
    training = split == "train"
    assert run.config.batch_size is not None
    return log.batches(
        split,
        run.ids,
        run.config.batch_size if training else EVALUATION_BATCH,
        features=run.shape.columns(log.manifest),
        shuffle=training,
        seed=run.config.training.seed,
    )


def _summary(result: Result, test: Metrics | None, sizes: Sizes, config: RunConfig) -> dict[str, Any]:
    tested = {} if test is None else {f"test_{name}": value for name, value in asdict(test).items() if name != "note"}
    return {
        **tested,
        "best_validation_auc": result.best_validation_auc,
        "best_validation_log_loss": result.best_validation_log_loss,
        "steps": result.steps,
        "steps_to_best": result.steps_to_best,
        "stopped_early": result.stopped_early,
        "stopped_by_caller": result.stopped_by_caller,
        "seconds": result.seconds,
        "evaluation_seconds": result.evaluation_seconds,
        "samples_per_second": result.samples_per_second,
        **asdict(sizes),
        "seed": config.training.seed,
        "threads": result.threads,
        "versions": versions(),
    }
