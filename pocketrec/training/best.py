"""The weights of the best evaluation: on disk where the run has a folder, else a copy in memory."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from torch import nn

from . import checkpoint


class BestWeights:
    """Keeps the weights of one step.

    In a folder each is a file of its own, named by its step, and older ones stay until `forget_others`: so the
    checkpoint on disk, whichever evaluation it was written before, always finds the file it speaks of.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._in_memory: dict[str, Any] = {}

    def keep(self, model: nn.Module, step: int) -> None:
        """Remember the weights the model has now."""
        if self._folder is None:
            self._in_memory = copy.deepcopy(model.state_dict())
        else:
            checkpoint.save(self._path(self._folder, step), model.state_dict())

    def restore(self, model: nn.Module, step: int) -> None:
        """Give the model the weights kept at `step`."""
        if self._folder is None:
            model.load_state_dict(self._in_memory)
        else:
            path = self._path(self._folder, step)
            checkpoint.put_weights(model, checkpoint.load(path), path)

    def forget_others(self, step: int | None) -> None:
        """Remove the files of all steps but `step`."""
        if self._folder is None:
            return
        for path in self._folder.glob("best_*.pt"):
            if step is None or path != self._path(self._folder, step):
                path.unlink(missing_ok=True)

    @staticmethod
    def _path(folder: Path, step: int) -> Path:
        return folder / f"best_{step}.pt"
