"""Checkpoints of facebookresearch/dlrm's `QREmbeddingBag`: tables `weight_q` and `weight_r` of one module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pocketrec.embedding.bag import EmbeddingBag
from pocketrec.errors import UsageError
from pocketrec.sharing import QuotientRemainder

OPERATIONS = {"mult": "multiply", "add": "add", "concat": "concat"}
"""Their words, and ours."""


@torch.no_grad()
def from_dlrm_qr(
    state: Mapping[str, Tensor], prefix: str, num_embeddings: int, *, operation: str = "mult", **options: Any
) -> EmbeddingBag:
    """An `EmbeddingBag` over `QuotientRemainder` with the rows of one of their modules.

    Where they and we differ: they divide ids in float32, so that beyond some ten million rows many of their ids read
    another row than x // c (16 % at 40 million and 4 collisions); and with "mult" they pool quotients and remainders
    before they multiply, which for bags of several ids is not the sum of rows. One id a bag, and fewer rows: the same.

    Args:
        state: a state dict that holds the module.
        prefix: of its names, for example "emb_l.0.".
        num_embeddings: their `num_categories`, which the state does not tell.
        operation: theirs: "mult", "add" or "concat".
        options: of `EmbeddingBag`: `mode` (theirs is "mean", and "sum" within DLRM), `include_last_offset`, ...

    Raises:
        UsageError: no such module in `state`, an unknown operation, or tables that are not of that many rows.
    """
    if operation not in OPERATIONS:
        raise UsageError(f"operation: must be one of {', '.join(OPERATIONS)}, got {operation!r}")
    missing = [name for name in ("weight_q", "weight_r") if prefix + name not in state]
    if missing:
        raise UsageError(f"state: holds no {prefix + missing[0]!r}; `prefix` is what comes before weight_q")
    q, r = state[f"{prefix}weight_q"], state[f"{prefix}weight_r"]
    if not (q.dim() == r.dim() == 2 and r.numel()):
        raise UsageError(f"{prefix}weight_r: must be (collisions, width), got {tuple(r.shape)}")
    if q.shape != (-(-num_embeddings // len(r)), r.shape[1]):
        raise UsageError(
            f"{prefix}weight_q: {num_embeddings} rows and {len(r)} collisions take "
            f"({-(-num_embeddings // len(r))}, {r.shape[1]}) numbers, got {tuple(q.shape)}"
        )
    width = r.shape[1] * (2 if operation == "concat" else 1)
    sharing = QuotientRemainder(OPERATIONS[operation], collisions=len(r))
    slots = q.numel() + r.numel()
    bag = EmbeddingBag(num_embeddings, width, sharing=sharing, memory_size=slots, dtype=q.dtype, **options)
    bag.get_parameter("memory").copy_(torch.cat([q.flatten(), r.flatten()]))
    return bag
