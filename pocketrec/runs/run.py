"""Train one RunConfig on one click log into a run folder; open such a folder again."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import pocketrec
from pocketrec import hashing
from pocketrec.data import ClickLog
from pocketrec.data.ids import Ids
from pocketrec.errors import DataError, TrainingError, UsageError
from pocketrec.files import PART, read_json, remove_parts, write_json
from pocketrec.models import DLRM
from pocketrec.runs.build import Shape, Sizes, build_ids, build_model, completed, sizes_of
from pocketrec.runs.config import RunConfig
from pocketrec.training import Metrics, Result, evaluate, load_weights, train

EVALUATION_BATCH = 16_384
CONFIG, METRICS = "config.json", "metrics.json"


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
    model: DLRM


def train_run(
    log: ClickLog,
    config: RunConfig,
    out: str | os.PathLike[str],
    *,
    resume: bool = False,
    progress: bool = True,
    log_to_tensorboard: bool = False,
) -> dict[str, Any]:
    """Train, test, and write `config.json`, `history.csv`, `checkpoint.pt`, `model.pt` and, last, `metrics.json`.

    Returns what `metrics.json` holds. Raises UsageError for an `out` that holds something else or another run,
    TrainingError as `train` does.
    """
    folder = Path(out)
    config = completed(config, log.manifest)
    shape = Shape.of(log.manifest, config)
    about = {
        "run": config.as_dict(),
        "data": log.manifest.fingerprint,
        "shape": asdict(shape),
        "versions": versions(),
    }
    _check_folder(folder, about, resume)
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
            _batches(run, log, "train"),
            _batches(run, log, "validation") if log.manifest.rows["validation"] else None,
            config=config.training,
            out=folder,
            resume=resume,
            identity={"run": _identity(config), "data": about["data"], "hash": hashing.VERSION},
            progress=progress,
            log_to_tensorboard=log_to_tensorboard,
        )
    except UsageError:
        _undo(folder)
        raise
    test = evaluate_run(run, log, "test") if log.manifest.rows["test"] else None
    metrics = _summary(result, test, sizes_of(run.model, log, ids, config), config)
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
    return evaluate(run.model, _batches(run, log, split), device=device or run.config.training.device)


def read_config(folder: Path) -> dict[str, Any]:
    """What `config.json` holds. Raises TrainingError when it is missing or damaged."""
    path = folder / CONFIG
    if not path.exists():
        raise TrainingError(f"{folder}: no {CONFIG}: not a run folder; train one with pocketrec train --out {folder}")
    about = _read_whole(path, "run", "data", "shape")
    run, shape = about["run"], about["shape"]
    if not (isinstance(run, dict) and isinstance(run.get("training"), dict) and isinstance(shape, dict)):
        raise TrainingError(f"{path}: damaged: train the run again")
    return about


def read_metrics(folder: Path) -> dict[str, Any]:
    """What `metrics.json` holds. Raises TrainingError when it is damaged."""
    return _read_whole(
        folder / METRICS, "steps", "best_validation_auc", "stored_bytes", "full_bytes", "id_map_bytes", "compression"
    )


def _read_whole(path: Path, *needed: str) -> dict[str, Any]:
    """A JSON object with at least the needed names."""
    try:
        told: dict[str, Any] = read_json(path)
        for name in needed:
            told[name]
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path}: damaged ({error!r}): train the run again") from None
    return told


def _undo(folder: Path) -> None:
    """Leave no folder that looks like a run where none began."""
    if not (folder / "checkpoint.pt").exists():
        (folder / CONFIG).unlink()
        if not any(folder.iterdir()):
            folder.rmdir()


def _model(log: ClickLog, shape: Shape, ids: Ids, config: RunConfig) -> DLRM:
    return build_model(shape, [ids.num_embeddings[i] for i in shape.columns(log.manifest)], config)


def _identity(config: RunConfig) -> dict[str, Any]:
    """What a checkpoint must agree on beside the TrainConfig, which `train` compares itself."""
    return {name: value for name, value in config.as_dict().items() if name != "training"}


def _check_folder(folder: Path, about: dict[str, Any], resume: bool) -> None:
    if not folder.exists() or all(entry.name.endswith(PART) for entry in folder.iterdir()):
        return
    if not (folder / CONFIG).exists():
        raise UsageError(f"{folder}: exists and holds something that is not a run: choose another --out")
    before = read_config(folder)
    differing = _differences(before["run"], about["run"]) + (["data"] if before["data"] != about["data"] else [])
    if resume and differing:
        raise TrainingError(
            f"{folder}: cannot resume: the run there differs in {', '.join(differing)}; repeat its command, "
            "or choose another --out"
        )
    if not resume:
        raise UsageError(f"{folder}: already holds a run: go on with --resume, or choose another --out")


def _differences(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    """`name (0.1 there, 0.2 here)` for every field that is not the same."""
    found = []
    for name in sorted(before.keys() | now.keys()):
        a, b = before.get(name), now.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            found += _differences(a, b, f"{prefix}{name}.")
        elif a != b and not name.startswith("checkpoint_"):
            found.append(f"{prefix}{name} ({a} there, {b} here)")
    return found


def _batches(run: TrainedRun, log: ClickLog, split: str) -> Any:
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
        "seconds": result.seconds,
        "samples_per_second": result.samples_per_second,
        **asdict(sizes),
        "seed": config.training.seed,
        "threads": result.threads,
        "versions": versions(),
    }
