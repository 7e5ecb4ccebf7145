"""The folder of a run: its checkpoint, when the next one is due, and whose it is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pocketrec.errors import UsageError

from . import checkpoint
from .config import TrainConfig
from .history import write_history
from .state import Row

_WRITE_SHARE = 20
"""Two checkpoints are at least so many times apart as writing one takes: it costs at most 5 % of the run."""


class RunFolder:
    """Where a run is kept; without a path nothing is ever written."""

    def __init__(self, path: Path | None, config: TrainConfig, description: Mapping[str, Any]) -> None:
        self.path = path
        self.saved_step: int | None = None
        """Step of the last checkpoint written or read."""
        self._config = config
        self._description = description
        self._written_at = time.monotonic()
        self._write_seconds = 0.0

    def read(self, *, resume: bool) -> dict[str, Any] | None:
        """The checkpoint to go on from, if there is one.

        Raises UsageError for a folder with a run in it that is not to be resumed, TrainingError for a checkpoint that
        is torn or another run's.
        """
        if self.path is None:
            if resume:
                raise UsageError("resume: needs the folder of the run, out=..., got None")
            return None
        path = self.path / "checkpoint.pt"
        if not resume:
            if path.exists() or (self.path / "model.pt").exists():
                raise UsageError(
                    f"out: {self.path} already holds a training run; go on with resume=True (--resume), "
                    "or choose another folder"
                )
            return None
        self._remove_torn_files(self.path)
        if not path.exists():
            return None
        found = checkpoint.read_checkpoint(path)
        checkpoint.check_same_run(path, found["run"], self._description)
        self.saved_step = found["state"]["step"]
        return found

    def due(self, step: int, *, evaluated: bool) -> bool:
        """Whether to write a checkpoint now: by steps, by time, or because an evaluation's work would be lost."""
        if self.path is None:
            return False
        every = self._config.checkpoint_steps
        if every is not None and step % every == 0:
            return True
        wait = 0.0 if evaluated else self._config.checkpoint_seconds
        return time.monotonic() - self._written_at >= max(wait, _WRITE_SHARE * self._write_seconds)

    def write(self, content: Mapping[str, Any]) -> None:
        """Write a checkpoint of the run's description and `content`, which has a `state`."""
        if self.path is None:
            return
        started = time.monotonic()
        about = {"format": checkpoint.FORMAT, "torch": str(torch.__version__), "run": dict(self._description)}
        checkpoint.save(self.path / "checkpoint.pt", {**about, **content})
        self.saved_step = content["state"]["step"]
        self._written_at = time.monotonic()
        self._write_seconds = self._written_at - started

    def write_history(self, rows: list[Row]) -> None:
        """Write `history.csv`."""
        if self.path is not None:
            write_history(self.path / "history.csv", rows)

    def write_model(self, weights: Mapping[str, Any]) -> None:
        """Write `model.pt`."""
        if self.path is not None:
            checkpoint.save(self.path / "model.pt", dict(weights))

    def how_to_go_on(self) -> str:
        """What is safe on disk, for the message of a run that stops here."""
        if self.path is None:
            return "nothing was saved: give a folder, out=..., to be able to resume"
        if self.saved_step is None:
            return f"{self.path} holds no checkpoint yet"
        return f"the checkpoint of step {self.saved_step} is in {self.path}"

    def after_an_error(self) -> str:
        """`how_to_go_on` for a run that its settings or its data stopped, which resuming would repeat."""
        if self.path is None or self.saved_step is None:
            return self.how_to_go_on()
        return (
            f"{self.how_to_go_on()}: --resume goes on with the same settings and data only; "
            "with others choose another --out"
        )

    @staticmethod
    def _remove_torn_files(folder: Path) -> None:
        """What a killed run had begun to write under a temporary name."""
        for kind in ("checkpoint.pt", "model.pt", "best_*.pt", "history.csv"):
            for path in folder.glob(f".{kind}.*.part"):
                path.unlink(missing_ok=True)
