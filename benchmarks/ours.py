"""Our side of a duel: virtual tables over one memory, looked up and trained."""

from __future__ import annotations

import copy
import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from rows import Setting
from torch import Tensor

from pocketrec import EmbeddingBagCollection, Robe, Table

Arm = tuple[EmbeddingBagCollection, torch.optim.Optimizer]
Step = Callable[[Any, Tensor], object]
"""(ids or bags, gradient of the output): forward, backward, update."""
TORCH_OPTIMIZERS: dict[str, Any] = {"sgd": torch.optim.SGD, "adagrad": torch.optim.Adagrad}


def robe(setting: Setting, num_embeddings: int, chunk: int) -> EmbeddingBagCollection:
    """`setting.features` tables of `num_embeddings` rows each, ROBE-`chunk`."""
    tables = [Table(f"feature_{i}", num_embeddings, setting.dim) for i in range(setting.features)]
    return EmbeddingBagCollection(tables, Robe(chunk_size=chunk), memory_size=setting.memory)


def arms(name: str, embeddings: EmbeddingBagCollection, kind: str) -> dict[str, Arm]:
    """What trains, by its name: with torch's own optimiser, and with one fused with the backward, where there is one.

    Each has a memory of its own: embeddings with a fused optimiser leave no gradient for another.
    """
    plain = copy.deepcopy(embeddings)
    found = {f"{name} unfused": (plain, TORCH_OPTIMIZERS[kind](plain.parameters(), lr=0.01, fused=True))}
    if importlib.util.find_spec("pocketrec.optim"):
        optim: Any = importlib.import_module("pocketrec.optim")
        own = copy.deepcopy(embeddings)
        found[name] = (own, {"sgd": optim.SGD, "adagrad": optim.Adagrad}[kind](own, lr=0.01))
    return found


def train_steps(name: str, embeddings: EmbeddingBagCollection, kind: str) -> dict[str, Step]:
    """The training step of each of `arms`."""
    return {arm: _step(*owned) for arm, owned in arms(name, embeddings, kind).items()}


def _step(embeddings: EmbeddingBagCollection, optimizer: torch.optim.Optimizer) -> Step:
    def step(ids: Any, grad: Tensor) -> None:
        optimizer.zero_grad()
        embeddings(ids).backward(grad)
        optimizer.step()

    return step
