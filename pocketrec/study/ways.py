"""Ways to train: what every cell is tuned over, full tables as much as compressed ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pocketrec.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Way:
    """A short name and flags of `pocketrec train`. Raises UsageError for a name that makes no folder."""

    name: str
    flags: Mapping[str, Any] = field(hash=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise UsageError(f"ways: a name must be of letters, digits, '.', '_' and '-', got {self.name!r}")


def _way(name: str, optimizer: str, decay: str, epochs: int, embedding: float, dense: float) -> Way:
    rates = {"embedding_learning_rate": embedding, "dense_learning_rate": dense}
    return Way(name, {"optimizer": optimizer, "decay": decay, "epochs": epochs, "patience": 4, **rates})


WAYS = (
    _way("adagrad-1", "adagrad", "none", 1, 0.05, 0.03),
    _way("adagrad-3", "adagrad", "none", 3, 0.1, 0.03),
    _way("adam-3", "adam", "linear", 3, 0.003, 0.001),
    _way("adam-2", "adam", "linear", 2, 0.001, 0.001),
)
"""Named by optimiser and epochs. Chosen on Book-Crossing (studies/schemes): one epoch suits tables that overfit when
they meet a row again, a falling rate suits shared memories. A patience of 4 evaluations is an epoch without gain."""
