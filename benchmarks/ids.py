"""Pools of batches of ids: another one every round, so that a big table's rows do not come back from the cache."""

from __future__ import annotations

import torch
from torch import Tensor

POOL = 16
KINDS = ("uniform", "zipf")
_EXPONENT = 1.05
_SCRAMBLE = 2_654_435_761
"""A prime: multiplying by it modulo n maps ranks one to one onto ids spread over the table."""


def draw(kind: str, num_embeddings: int, count: int) -> Tensor:
    """`count` ids of a table, (count,) int64: all equally likely, or heavy-tailed (Zipf 1.05)."""
    if kind == "uniform":
        return torch.randint(0, num_embeddings, (count,))
    power = 1 - _EXPONENT
    tail = 1 - torch.rand(count, dtype=torch.float64) * (1 - num_embeddings**power)
    ranks = tail.pow(1 / power).long().clamp_(1, num_embeddings) - 1
    return ranks * _SCRAMBLE % num_embeddings


def pool(kind: str, num_embeddings: int, features: int, per_feature: int, batches: int = POOL) -> list[Tensor]:
    """Batches of ids of `features` tables of equal size, each (F, per_feature)."""
    return [
        torch.stack([draw(kind, num_embeddings, per_feature) for _ in range(features)]).contiguous()
        for _ in range(batches)
    ]
