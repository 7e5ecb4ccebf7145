"""The history as TensorBoard scalars, where the extra is installed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from pocketrec.errors import UsageError

from .state import Row


def open_tensorboard(folder: Path, first_step: int) -> Any:
    """A SummaryWriter into `folder`; what an interrupted run wrote from `first_step` on is hidden.

    Raises UsageError when TensorBoard is not installed.
    """
    try:
        with warnings.catch_warnings():
            # Its own imports warn about deprecations that are not the user's to mend.
            warnings.simplefilter("ignore")
            from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError(
            "log_to_tensorboard: TensorBoard is not installed; pip install 'pocketrec[tensorboard]', or leave it off"
        ) from None
    return SummaryWriter(str(folder), purge_step=first_step or None)


def log_row(writer: Any, row: Row) -> None:
    """One evaluation, each column a scalar at its step."""
    for name, value in row.items():
        if name != "step":
            writer.add_scalar(name, value, row["step"])
    writer.flush()
