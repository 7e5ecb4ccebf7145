"""A tiny click log with a planted model, and a run on it that can be stopped at a chosen step.

Run as a script it is that training run in a process of its own: `planted.py OUT KILL_AT`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pocketrec.models import DLRM
from pocketrec.training import Result, TrainConfig, train

FEATURES, ROWS, DENSE = 3, 20, 2
BATCH, STEPS_PER_EPOCH = 32, 8

Batch = tuple[Tensor, Tensor, Tensor]


class Tables(nn.Module):
    """F ordinary tables in one `nn.EmbeddingBag`."""

    num_features = FEATURES

    def __init__(self, embedding_dim: int = 4, *, sparse: bool = False) -> None:
        super().__init__()
        self.embedding_dim = embedding_dim
        self.bag = nn.EmbeddingBag(FEATURES * ROWS, embedding_dim, mode="sum", sparse=sparse)

    def forward(self, ids: Tensor) -> Tensor:
        rows = (ids + torch.arange(FEATURES) * ROWS).reshape(-1, 1)
        out: Tensor = self.bag(rows)
        return out.view(ids.shape[0], FEATURES, self.embedding_dim)


def planted_rows(count: int, seed: int = 0) -> Batch:
    """(dense, ids, labels): the click probability is a logistic model of one weight per id and one dense column."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(FEATURES, ROWS, generator=torch.Generator().manual_seed(99))
    ids = torch.randint(ROWS, (count, FEATURES), generator=generator)
    dense = torch.randn(count, DENSE, generator=generator)
    logits = 1.5 * weights[torch.arange(FEATURES), ids].sum(1) + dense[:, 0]
    labels = (torch.rand(count, generator=generator) < torch.sigmoid(logits)).float()
    return dense, ids, labels


class Batches:
    """As pocketrec's own: shuffled per epoch by seed, starting at any step; `before(step)` runs before each batch."""

    def __init__(self, rows: Batch, before: Callable[[int], None] = lambda step: None) -> None:
        self.rows, self.before = rows, before
        self.epoch, self.start_step = 0, 0

    def __len__(self) -> int:
        return len(self.rows[2]) // BATCH

    def set_epoch(self, epoch: int, start_step: int = 0) -> None:
        self.epoch, self.start_step = epoch, start_step

    def __iter__(self) -> Iterator[Batch]:
        order = torch.randperm(len(self.rows[2]), generator=torch.Generator().manual_seed(self.epoch))
        for step in range(self.start_step, len(self)):
            self.before(self.epoch * len(self) + step + 1)
            chosen = order[step * BATCH : (step + 1) * BATCH]
            dense, ids, labels = (column[chosen] for column in self.rows)
            yield dense, ids, labels


def small_dlrm(seed: int = 0, *, sparse: bool = False, dropout: float = 0.0) -> DLRM:
    torch.manual_seed(seed)
    model = DLRM(Tables(sparse=sparse), num_dense=DENSE, bottom=(8,), top=(8,))
    if dropout:
        model.top.insert(2, nn.Dropout(dropout))
    return model


def train_data(before: Callable[[int], None] = lambda step: None) -> Batches:
    return Batches(planted_rows(BATCH * STEPS_PER_EPOCH), before)


def validation_data() -> Batches:
    return Batches(planted_rows(BATCH * 4, seed=1))


CONFIG: dict[str, Any] = {
    "epochs": 3,
    "learning_rate": 0.01,
    "evaluations_per_epoch": 2,
    "patience": None,
    "threads": 1,
}


def run(
    out: Path | None = None,
    *,
    before: Callable[[int], None] = lambda step: None,
    resume: bool = False,
    model: nn.Module | None = None,
    identity: dict[str, Any] | None = None,
    **config: Any,
) -> tuple[nn.Module, Result]:
    """One run on the planted log: 24 steps, evaluations after 4, 8, 12, ... of them."""
    model = small_dlrm() if model is None else model
    result = train(
        model,
        train_data(before),
        validation_data(),
        config=TrainConfig(**{**CONFIG, **config}),
        out=out,
        resume=resume,
        identity=identity,
        progress=False,
    )
    return model, result


if __name__ == "__main__":
    folder, kill_at = Path(sys.argv[1]), int(sys.argv[2])

    def kill(step: int) -> None:
        if step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    run(folder, before=kill, resume=True, checkpoint_steps=3)
