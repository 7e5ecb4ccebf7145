"""The folder of a run: `config.json` when it begins, `metrics.json` when it is done, and who may write there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pocketrec.errors import TrainingError, UsageError
from pocketrec.files import PART, read_json
from pocketrec.training.checkpoint import differences

CONFIG, METRICS = "config.json", "metrics.json"
_NEEDED = ("steps", "best_validation_auc", "stored_bytes", "full_bytes", "id_map_bytes", "compression")


def read_config(folder: Path) -> dict[str, Any]:
    """What `config.json` holds: the `run`, the fingerprint of its `data`, the `shape` of its model, the `versions`; and
    the folder of its `log`, where that was when it was trained, unless an older version wrote it.

    Raises TrainingError when it is missing or damaged.
    """
    path = folder / CONFIG
    if not path.exists():
        raise TrainingError(f"{folder}: no {CONFIG}: not a run folder; train one with pocketrec train --out {folder}")
    about = _read_whole(path, "run", "data", "shape")
    run, shape = about["run"], about["shape"]
    if not (isinstance(run, dict) and isinstance(run.get("training"), dict) and isinstance(shape, dict)):
        raise TrainingError(f"{path}: damaged: train the run again")
    return about


def read_metrics(folder: Path) -> dict[str, Any]:
    """What `metrics.json` holds. Raises TrainingError when it is missing or damaged."""
    return _read_whole(folder / METRICS, *_NEEDED)


def _read_whole(path: Path, *needed: str) -> dict[str, Any]:
    """A JSON object with at least the needed names."""
    try:
        told: dict[str, Any] = read_json(path)
        for name in needed:
            told[name]
    except (ValueError, KeyError, TypeError, FileNotFoundError) as error:
        raise TrainingError(f"{path}: damaged ({error!r}): train the run again") from None
    return told


def check_folder(folder: Path, about: dict[str, Any], resume: bool | None) -> None:
    """Refuse a folder that holds something else, a run that is not to be resumed, or another run than `about`'s.

    resume: None where a run is made at once, and there is nothing to go on with.
    """
    if not folder.exists() or all(entry.name.endswith(PART) for entry in folder.iterdir()):
        return
    if not (folder / CONFIG).exists():
        raise UsageError(f"{folder}: exists and holds something that is not a run: choose another --out")
    if not resume:
        way = "choose" if resume is None else "go on with --resume, or choose"
        raise UsageError(f"{folder}: already holds a run: {way} another --out")
    before = read_config(folder)
    differing = [d for name in ("run", "data") for d in differences(before[name], about[name], name)]
    if differing:
        raise TrainingError(
            f"{folder}: cannot resume, this is another run: {'; '.join(differing)}; repeat its command, "
            "or choose another --out"
        )


def undo(folder: Path) -> None:
    """Leave no folder that looks like a run where none began."""
    if not (folder / "checkpoint.pt").exists():
        (folder / CONFIG).unlink()
        if not any(folder.iterdir()):
            folder.rmdir()
