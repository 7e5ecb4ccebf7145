"""The other sides of a duel, set up as their users would at their fastest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pocketrec import EmbeddingBagCollection

_BLOCK = 1 << 22


def fill(flat: Tensor) -> Tensor:
    """Write random values, block by block the same: every page is touched, in a fraction of `uniform_`'s time."""
    block = torch.rand(_BLOCK) * 0.02 - 0.01
    for start in range(0, flat.numel(), _BLOCK):
        part = flat[start : start + _BLOCK]
        part.copy_(block[: part.numel()])
    return flat


def full_table(num_bytes: float) -> Tensor:
    """A flat float32 buffer of `num_bytes`; views of it are tables of any width and any smaller size."""
    return fill(torch.empty(int(num_bytes) // 4))


def gather(embeddings: EmbeddingBagCollection, chunk: int) -> Callable[[Tensor], Tensor]:
    """The same memory read as one would write it in plain PyTorch: index arithmetic for every element, then `take`."""
    memory, dim, features = embeddings.get_parameter("memory"), embeddings.dims[0], embeddings.num_features
    chunks, within = torch.arange(dim // chunk) * 1_299_721, torch.arange(chunk)
    tables = (torch.arange(features) * 15_485_863)[:, None]

    def look_up(ids: Tensor) -> Tensor:
        starts = (ids[..., None] * 7_919 + tables + chunks) % 2_038_074_743
        slots = (starts[..., None] + within) % memory.numel()
        return memory.take(slots).view(ids.shape[0], features, dim)

    return look_up


def embedding_bags(num_embeddings: int, dim: int, features: int) -> list[torch.nn.EmbeddingBag]:
    """A table a feature with row-sparse gradients, the way DLRM keeps them."""
    return [
        torch.nn.EmbeddingBag.from_pretrained(
            fill(torch.empty(num_embeddings * dim)).view(num_embeddings, dim),
            freeze=False,
            mode="sum",
            sparse=True,
            include_last_offset=True,
        )
        for _ in range(features)
    ]


def fbgemm(num_embeddings: int, dim: int, features: int, kind: str) -> Any:
    """FBGEMM's table-batched op for CPU with the update in its backward; called with feature-major ids and offsets.

    Its Adagrad is row-wise: one number of state a row. It checks ids, as ours does; that costs it nothing measurable.
    """
    from fbgemm_gpu.split_embedding_configs import EmbOptimType
    from fbgemm_gpu.split_table_batched_embeddings_ops_common import EmbeddingLocation
    from fbgemm_gpu.split_table_batched_embeddings_ops_training import (
        ComputeDevice,
        SplitTableBatchedEmbeddingBagsCodegen,
    )

    optimizer = {"sgd": EmbOptimType.EXACT_SGD, "adagrad": EmbOptimType.EXACT_ROWWISE_ADAGRAD}[kind]
    spec = (num_embeddings, dim, EmbeddingLocation.HOST, ComputeDevice.CPU)
    tables = SplitTableBatchedEmbeddingBagsCodegen([spec] * features, optimizer=optimizer, learning_rate=0.01)
    for weights in tables.split_embedding_weights():
        fill(weights.view(-1))
    return tables
