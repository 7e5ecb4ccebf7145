"""One run of a study, in a process of its own: train, test, say what came of it; measure features where asked."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketrec.errors import DivergedError
from pocketrec.files import read_json, write_json
from pocketrec.study.columns import MEASURES, SIZES
from pocketrec.study.features import importances
from pocketrec.study.hopeless import Rival, is_hopeless
from pocketrec.study.memory import peak_memory_bytes

if TYPE_CHECKING:
    from pocketrec.data import ClickLog
    from pocketrec.runs import RunConfig
    from pocketrec.sharing.budget import BudgetError

OUTCOME, FEATURES = "outcome.json", "features.json"


@dataclass(frozen=True)
class Task:
    """What a process is to do."""

    data: str
    folder: Path
    """Of the run."""
    flags: Mapping[str, Any]
    """Of `pocketrec train`, the seed included."""
    measure_features: bool
    rival: Rival | None
    """The run to be compared with, where a hopeless one may be given up."""


def is_done(folder: Path, measure_features: bool) -> bool:
    """Whether a run's folder holds all that is asked for: perhaps its process ended before the row was written."""
    return (folder / OUTCOME).exists() and (not measure_features or (folder / FEATURES).exists())


def read_outcome(folder: Path) -> dict[str, Any]:
    """What came of a run: the columns it measured, and under `times` its seconds."""
    outcome: dict[str, Any] = read_json(folder / OUTCOME)
    return outcome


def read_features(folder: Path) -> dict[str, Any]:
    """What was measured on it: `importance` by feature, and the `seconds` that took."""
    features: dict[str, Any] = read_json(folder / FEATURES)
    return features


def forget_weights(folder: Path) -> None:
    """Delete the weights of a finished run, which may be gigabytes; what it measured stays."""
    for path in folder.glob("*.pt"):
        path.unlink(missing_ok=True)


def work(task: Task) -> None:
    """Do what is not done, into the run's folder: `outcome.json`, `features.json` beside what `train` writes."""
    import torch

    from pocketrec.data import open_log
    from pocketrec.runs import open_run
    from pocketrec.runs.flags import config_from

    torch.set_num_threads(1)
    log = open_log(task.data, progress=False)
    config = config_from({**task.flags, "threads": 1})
    if task.measure_features and not (task.folder / "model.pt").exists() and (task.folder / OUTCOME).exists():
        # Its weights are gone. Training again gives the same ones.
        shutil.rmtree(task.folder)
    if not (task.folder / OUTCOME).exists():
        write_json(task.folder / OUTCOME, _train(task, log, config))
    if task.measure_features:
        started = time.perf_counter()
        importance = importances(open_run(task.folder, log), log)
        told = {"importance": importance, "seconds": time.perf_counter() - started}
        write_json(task.folder / FEATURES, told)


def _train(task: Task, log: ClickLog, config: RunConfig) -> dict[str, Any]:
    from pocketrec.runs import train_run
    from pocketrec.sharing.budget import BudgetError

    rival, epochs = task.rival, config.training.epochs
    trained_before = (task.folder / "metrics.json").exists()
    try:
        metrics = train_run(
            log,
            config,
            task.folder,
            resume=(task.folder / "config.json").exists(),
            progress=False,
            should_stop=None if rival is None else lambda history: is_hopeless(history, epochs, rival),
        )
    except DivergedError as error:
        return _failed(f"diverged: {error.__cause__ or error}")
    except BudgetError as error:
        return _failed(f"unreachable: ends near {end_of(error, log, config):.4g}x: {error}")
    if math.isnan(_number(metrics["best_validation_auc"])):
        return _failed("validation AUC is undefined: all its labels are the same")
    # A process that found the run finished has not seen its peak.
    metrics["peak_memory_bytes"] = "" if trained_before else peak_memory_bytes()
    metrics["reached_compression"] = metrics["compression"]
    times = {"training": metrics["seconds"]}
    times |= {"validation": metrics["evaluation_seconds"], "test": metrics["test_seconds"]}
    measured = {name: _short(metrics[name]) for name in (*MEASURES, *SIZES)}
    return {**measured, "stopped": _stopped(metrics), "error": "", "times": times}


def end_of(error: BudgetError, log: ClickLog, config: RunConfig) -> float:
    """The compression at which a scheme ends that cannot keep to the one asked for."""
    from pocketrec.embedding.budget import FULL_ITEM_BYTES, slot_bytes
    from pocketrec.runs.build import full_slots

    return full_slots(log.manifest, config) * FULL_ITEM_BYTES / (error.least * slot_bytes(config.dtype))


def _failed(error: str) -> dict[str, Any]:
    return {"error": " ".join(error.split()), "stopped": "", "times": {}}


def _stopped(metrics: Mapping[str, Any]) -> str:
    if metrics["stopped_by_caller"]:
        return "hopeless"
    return "patience" if metrics["stopped_early"] else ""


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
