"""Checks of what users pass to a module, common to all of them."""

from __future__ import annotations

import torch
from torch import Tensor

from pocketrec.errors import UsageError


def as_ids(name: str, ids: Tensor) -> Tensor:
    """Integer ids as the op takes them: contiguous int64.

    Raises:
        UsageError: ids that are not integers.
    """
    if not isinstance(ids, Tensor):
        raise UsageError(f"{name} must be a torch.Tensor, got a {type(ids).__name__}")
    if ids.dtype not in (torch.int64, torch.int32):
        raise UsageError(f"{name} must be int64 or int32, got {ids.dtype}: convert with .long()")
    return ids.long().contiguous()


def check_weights_allowed(poolings: set[str]) -> None:
    """Refuse weights with mean and max, as torch does."""
    other = sorted(poolings - {"sum"})
    if other:
        raise UsageError(f"per_sample_weights work with sum pooling only, got {other[0]!r}")


def refuse(
    *, max_norm: float | None, norm_type: float, scale_grad_by_freq: bool, sparse: bool, row_sparse: bool
) -> None:
    """Refuse the arguments of torch's embeddings that make no sense when rows share slots."""
    if max_norm is not None or norm_type != 2.0:
        raise UsageError(
            "max_norm and norm_type renormalise single rows in place, which may share slots with others: "
            "leave them at their defaults"
        )
    if scale_grad_by_freq:
        raise UsageError(
            "scale_grad_by_freq divides a row's gradient by its count; slots serve many rows: leave it False"
        )
    if sparse and not row_sparse:
        raise UsageError("sparse=True makes row-sparse gradients; a shared memory is small and dense: leave it False")
