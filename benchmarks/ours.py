"""Our side of a duel: virtual tables over one memory, looked up and trained."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from rows import Setting
from torch import Tensor

from pocketrec import EmbeddingBagCollection, Robe, Table

Step = Callable[[Any, Tensor], object]
"""(ids or bags, gradient of the output): forward, backward, update."""


def robe(setting: Setting, num_embeddings: int, chunk: int) -> EmbeddingBagCollection:
    """`setting.features` tables of `num_embeddings` rows each, ROBE-`chunk`."""
    tables = [Table(f"feature_{i}", num_embeddings, setting.dim) for i in range(setting.features)]
    return EmbeddingBagCollection(tables, Robe(chunk_size=chunk), memory_size=setting.memory)


def train_steps(name: str, embeddings: EmbeddingBagCollection, kind: str) -> dict[str, Step]:
    """Training steps by the name of the arm: with the update fused into the backward, where the version has it, and
    with torch's own optimiser. The arms share the memory, which changes no time."""
    plain = {"sgd": torch.optim.SGD, "adagrad": torch.optim.Adagrad}[kind]
    optimizers = {f"{name} unfused": plain(embeddings.parameters(), lr=0.01, fused=True)}
    if importlib.util.find_spec("pocketrec.optim"):
        fused: Any = importlib.import_module("pocketrec.optim")
        optimizers[name] = {"sgd": fused.SGD, "adagrad": fused.Adagrad}[kind](embeddings, lr=0.01)
    return {arm: _step(embeddings, optimizer) for arm, optimizer in optimizers.items()}


def _step(embeddings: EmbeddingBagCollection, optimizer: torch.optim.Optimizer) -> Step:
    def step(ids: Any, grad: Tensor) -> None:
        optimizer.zero_grad()
        embeddings(ids).backward(grad)
        optimizer.step()

    return step
