"""The batches of each epoch, from any step of it, the same ones again after an interruption."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator
from typing import Any

from pocketrec.errors import TrainingError, UsageError

from . import random_state


class Epochs:
    """Training data, epoch after epoch.

    Data with `set_epoch(epoch, start_step)` go at once to where a run was interrupted. Of others the batches before it
    are read and dropped, with the random generators as they were when that epoch began; so a shuffled DataLoader
    resumes exactly. Raises UsageError for data without a length, or empty ones.
    """

    def __init__(self, data: Any) -> None:
        self._data = data
        # Data left in the middle of an epoch by an interrupted run may report only what remains.
        self._go_to(0, 0)
        try:
            self.steps = len(data)
        except TypeError:
            raise UsageError(
                "train_data: needs a length, len(train_data) = batches per epoch; wrap a generator"
            ) from None
        if self.steps < 1:
            raise UsageError("train_data: holds no batch; check the file, and that batch_size is not above its rows")
        self.random: dict[str, Any] = {}
        """The random generators at the beginning of the present epoch; part of a checkpoint."""

    def batches(self, steps_done: int) -> Iterator[Any]:
        """The rest of the epoch in which a run of so many steps is.

        Raises TrainingError when an epoch is shorter or longer than the data's length.
        """
        epoch, position = divmod(steps_done, self.steps)
        source = self._open(epoch, position)
        end = object()
        for given in range(position, self.steps):
            batch = next(source, end)
            if batch is end:
                raise TrainingError(f"train_data gave {given} batches in an epoch, and its length says {self.steps}")
            yield batch
        if next(source, end) is not end:
            raise TrainingError(f"train_data gave more batches in an epoch than its length, {self.steps}")

    def _open(self, epoch: int, position: int) -> Iterator[Any]:
        if position == 0:
            self.random = random_state.capture()
            self._go_to(epoch, 0)
            return iter(self._data)
        now = random_state.capture()
        random_state.restore(self.random)
        there = self._go_to(epoch, position)
        source = iter(self._data)
        for _ in itertools.islice(source, 0 if there else position):
            pass
        random_state.restore(now)
        return source

    def _go_to(self, epoch: int, position: int) -> bool:
        """Tell the data where to start, as far as they can be told; True when they start at `position`."""
        if not hasattr(self._data, "set_epoch"):
            return position == 0
        if "start_step" in inspect.signature(self._data.set_epoch).parameters:
            self._data.set_epoch(epoch, start_step=position)
            return True
        self._data.set_epoch(epoch)
        return position == 0
