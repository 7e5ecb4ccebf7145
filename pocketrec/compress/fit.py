"""Start a memory from tables that were trained: the least squares over everything it must serve.

Where one slot serves an element, with sign s, the slot's best value is the mean of s * element over all elements it
serves. Both the sums and the counts are what a lookup's backward computes, block by block of rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from pocketrec.embedding import Embedding, EmbeddingBag
from pocketrec.errors import UsageError
from pocketrec.ops import FeatureLayout, Mode, Sign

_LEAST_BLOCK = 1 << 22
"""Elements served at once: enough that adding up the memory's gradient costs little beside them."""


@torch.no_grad()
def fit_(embedding: Embedding | EmbeddingBag, weight: Tensor) -> None:
    """Set the memory, in place, to the one whose rows are nearest to `weight`, in the sum of squares.

    Slots that serve no row keep their initial values; the padding row counts for nothing. Takes the memory's size
    three times, and a block of rows, in float32.

    Args:
        embedding: of one hashed table with a known number of rows.
        weight: (num_embeddings, embedding_dim), of any floating type, on the memory's device.

    Raises:
        UsageError: full tables, an int8 memory, or a weight of another shape or device.
    """
    memory = _memory_of(embedding, weight)
    sums, counts = (torch.zeros_like(memory, dtype=torch.float32) for _ in range(2))
    plain = _pooled_by_sum(embedding.get_buffer("layout"))
    unsigned = _with(plain, sign=Sign.NONE)
    for ids, rows in _blocks(weight, max(_LEAST_BLOCK, memory.numel())):
        for total, layout, served in ((sums, plain, rows), (counts, unsigned, torch.ones_like(rows))):
            total += torch.ops.pocketrec.lookup_backward(served, total, ids, None, None, layout)
    memory.copy_(torch.where(counts > 0, sums / counts, memory))


def _memory_of(embedding: Embedding | EmbeddingBag, weight: Tensor) -> Tensor:
    if embedding.sparse_gradients or embedding.scales is not None:
        raise UsageError("fit_: full tables take their weights as they are, and an int8 memory is for inference")
    memory = embedding.get_parameter("memory")
    shape = (embedding.num_embeddings, embedding.embedding_dim)
    if tuple(weight.shape) != shape or weight.device != memory.device:
        told = f"got {tuple(weight.shape)} on {weight.device}"
        raise UsageError(f"fit_: weight must have shape {shape} and lie on {memory.device}, {told}")
    return memory


def _blocks(weight: Tensor, elements: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Ids (n, 1) and their rows (n, D) in float32."""
    step = max(1, elements // weight.shape[1])
    for first in range(0, weight.shape[0], step):
        rows = weight[first : first + step].to(torch.float32, memory_format=torch.contiguous_format)
        yield torch.arange(first, first + len(rows), device=weight.device)[:, None], rows


def _pooled_by_sum(layout: Tensor) -> Tensor:
    return _with(layout, mode=Mode.SUM)


def _with(layout: Tensor, **changes: int) -> Tensor:
    changed = layout.clone()
    for name, value in changes.items():
        changed[:, FeatureLayout._fields.index(name)] = value
    return changed
