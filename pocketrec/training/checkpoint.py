"""Checkpoints: one file that is whole or absent, read without running code from it, and refused by another run."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pocketrec.errors import TrainingError, UsageError
from pocketrec.files import atomic_path

FORMAT = 1
"""Version of the checkpoint's layout; a file of another one is refused."""

_SHOWN = 5


def save(path: Path, value: Any) -> None:
    """`torch.save` to a temporary name, flush, rename. Raises TrainingError when it cannot be written."""
    try:
        # Given a path, torch.save writes its (random, temporary) name into the file: equal weights, unequal bytes.
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            torch.save(value, file)
    except (OSError, RuntimeError) as error:
        raise TrainingError(f"{path}: cannot be written ({error}); free some space or choose another folder") from error


def load(path: Path) -> Any:
    """Read what `save` wrote, on the CPU, without executing anything in it. Raises TrainingError when it cannot."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise TrainingError(
            f"{path}: is not a whole checkpoint ({_reason(error)}); delete the folder, or start in another one"
        ) from error


def _reason(error: Exception) -> str:
    """torch's first words; its advice to switch its safety off, which would run what is in the file, is left out."""
    if isinstance(error, pickle.UnpicklingError):
        return "its contents are damaged, or not those of a checkpoint"
    return (str(error).splitlines() or [type(error).__name__])[0]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """`load`, and check that it is a checkpoint of this layout. Raises TrainingError."""
    checkpoint = load(path)
    if not isinstance(checkpoint, dict) or "format" not in checkpoint:
        raise TrainingError(f"{path}: is not a pocketrec checkpoint; choose another folder")
    if checkpoint["format"] != FORMAT:
        raise TrainingError(
            f"{path}: has checkpoint format {checkpoint['format']}, this version reads {FORMAT}; "
            "resume with the version that wrote it"
        )
    return checkpoint


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """Where two nested plain values differ: `["config.seed: was 1, now 2", ...]`."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        prefix = f"{name}." if name else ""
        keys = sorted(old.keys() | new.keys())
        return [line for key in keys for line in differences(old.get(key), new.get(key), f"{prefix}{key}")]
    return [] if old == new else [f"{name}: was {old!r}, now {new!r}"]


def check_same_run(path: Path, checkpoint: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise TrainingError, naming what differs, when the checkpoint is of a run other than `now` describes."""
    lines = differences({name: checkpoint.get(name) for name in now}, now)
    if lines:
        shown = "; ".join(lines[:_SHOWN]) + (f"; and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else "")
        raise TrainingError(
            f"{path}: is the checkpoint of another run ({shown}); "
            "resume with the same arguments, or choose another folder"
        )


def model_description(model: nn.Module) -> dict[str, str]:
    """Name -> dtype and shape of everything in the model's state."""
    return {
        name: f"{value.dtype} {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
        for name, value in model.state_dict().items()
    }


def load_weights(model: nn.Module, folder: str | os.PathLike[str]) -> None:
    """Load the best weights of the finished run in `folder` into `model`.

    Raises UsageError when the folder holds no finished run, TrainingError when they are of another model.
    """
    path = Path(folder) / "model.pt"
    if not path.exists():
        unfinished = (Path(folder) / "checkpoint.pt").exists()
        what = "an unfinished run; finish it with --resume" if unfinished else "no training run; train one into it"
        raise UsageError(f"{folder}: holds {what}")
    put_weights(model, load(path), path)


def put_weights(model: nn.Module, weights: Mapping[str, Any], path: Path) -> None:
    """`model.load_state_dict`, or a TrainingError that names what differs."""
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise TrainingError(f"{path}: holds the weights of another model: {reason}") from error
