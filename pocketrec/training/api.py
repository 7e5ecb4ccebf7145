"""train(): what a caller gives and gets; the loop itself is in `run.py`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pocketrec.errors import UsageError

from .config import TrainConfig
from .run import Run
from .state import Result, ShouldStop


def train(
    model: nn.Module,
    train_data: Iterable[Any],
    validation_data: Iterable[Any] | None = None,
    *,
    config: TrainConfig | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    identity: Mapping[str, Any] | None = None,
    progress: bool = True,
    log_to_tensorboard: bool = False,
    should_stop: ShouldStop | None = None,
) -> Result:
    """Train a click model with binary cross-entropy; the model ends with the weights of its best validation AUC.

    Arguments:
        model: any module; `model(*inputs)` gives logits (B,).
        train_data: batches `(*inputs, labels)`, with `len()`: pocketrec's, a `DataLoader`, a list. If it has
            `set_epoch(epoch, start_step)`, that is called before each epoch.
        validation_data: batches for the evaluations; without it the last weights are the result.
        config: a `TrainConfig`; its defaults otherwise.
        out: a folder for `checkpoint.pt`, `model.pt` (a plain state_dict: the best weights) and `history.csv`.
        resume: go on from the checkpoint in `out`, or start from the beginning where there is none yet.
        identity: JSON values that say what is trained on what; a checkpoint of another identity is refused.
        progress: show a live line on stderr.
        log_to_tensorboard: write the history to `out/tensorboard` too.
        should_stop: asked after each evaluation, with the rows of the history so far; True ends the run there, like
            the patience does.

    A run stopped at any moment (kill -9 included) and resumed with the same arguments, and a model of the same initial
    weights, ends with the same weights, bit for bit. For this, what iterating `train_data` gives may depend only on
    `set_epoch` and on the global random generators, as that of a `DataLoader(shuffle=True)` does. Ctrl-C and SIGTERM
    end the step, write a checkpoint, and raise KeyboardInterrupt or SystemExit(143); a second one acts at once.

    Raises UsageError for arguments that make no sense or an `out` that holds a run already, TrainingError when the loss
    is not a number, the checkpoint is torn or another run's, or a file cannot be written.
    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"model: must be a torch.nn.Module, got a {type(model).__name__}")
    if log_to_tensorboard and out is None:
        raise UsageError("log_to_tensorboard: needs a folder, out=..., got None")
    threads = torch.get_num_threads()
    was_training = model.training
    folder = None if out is None else Path(out)
    run = Run(model, train_data, validation_data, config or TrainConfig(), folder, _plain(identity), should_stop)
    try:
        return run.run(resume=resume, progress=progress, log_to_tensorboard=log_to_tensorboard)
    finally:
        torch.set_num_threads(threads)
        model.train(was_training)


def _plain(identity: Mapping[str, Any] | None) -> dict[str, Any]:
    """As it will come back from a checkpoint: tuples become lists, keys strings."""
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(identity or {})))
    except (TypeError, ValueError) as error:
        raise UsageError(f"identity: must be a mapping of JSON values ({error})") from None
    return plain
