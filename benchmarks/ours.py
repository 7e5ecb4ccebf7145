"""Our side of a duel: virtual tables over one memory, looked up and trained."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from rows import Setting
from torch import Tensor

from pocketrec import EmbeddingBagCollection, Robe, Table, optim

Arm = tuple[EmbeddingBagCollection, torch.optim.Optimizer]
Step = Callable[[Any, Tensor], object]
"""(ids or bags, gradient of the output): forward, backward, update."""
TORCH_OPTIMIZERS: dict[str, Any] = {"sgd": torch.optim.SGD, "adagrad": torch.optim.Adagrad}
FUSED_OPTIMIZERS: dict[str, Any] = {"sgd": optim.SGD, "adagrad": optim.Adagrad}


def robe(setting: Setting, num_embeddings: int, chunk: int, align: int = 1) -> EmbeddingBagCollection:
    """`setting.features` tables of `num_embeddings` rows, ROBE-`chunk`; `align=16`: chunks start on cache lines."""
    tables = [Table(f"feature_{i}", num_embeddings, setting.dim) for i in range(setting.features)]
    return EmbeddingBagCollection(tables, Robe(chunk_size=chunk, align=align), memory_size=setting.memory)


def arms(name: str, embeddings: EmbeddingBagCollection, kind: str) -> dict[str, Arm]:
    """What trains, by its name: with torch's own optimiser, and with the one fused with the backward.

    Each has a memory of its own: embeddings with a fused optimiser leave no gradient for another.
    """
    plain, own = copy.deepcopy(embeddings), copy.deepcopy(embeddings)
    unfused = TORCH_OPTIMIZERS[kind](plain.parameters(), lr=0.01, fused=True)
    return {f"{name} unfused": (plain, unfused), name: (own, FUSED_OPTIMIZERS[kind](own, lr=0.01))}


def fused_step(embeddings: EmbeddingBagCollection, kind: str) -> Step:
    """The training step of `embeddings` themselves, with the fused optimiser."""
    return _step(embeddings, FUSED_OPTIMIZERS[kind](embeddings, lr=0.01))


def train_steps(name: str, embeddings: EmbeddingBagCollection, kind: str) -> dict[str, Step]:
    """The training step of each of `arms`."""
    return {arm: _step(*owned) for arm, owned in arms(name, embeddings, kind).items()}


def _step(embeddings: EmbeddingBagCollection, optimizer: torch.optim.Optimizer) -> Step:
    def step(ids: Any, grad: Tensor) -> None:
        optimizer.zero_grad()
        embeddings(ids).backward(grad)
        optimizer.step()

    return step
