"""Checks of what users pass to a module, common to all of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from pocketrec.embedding.budget import INTEGER_BITS
from pocketrec.errors import UsageError
from pocketrec.sharing import Table

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16, *INTEGER_BITS)


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


def check_sharing(sharing: Any) -> None:
    """Refuse what is not a sharing scheme, most of all a scheme's word or class."""
    if isinstance(sharing, str):
        raise UsageError(f"sharing: is a scheme, not a word: pass scheme_named({sharing!r}) of pocketrec.sharing")
    if isinstance(sharing, type):
        raise UsageError(f"sharing: is a scheme, not a class: write {sharing.__name__}() with parentheses")
    if not (hasattr(sharing, "place") and hasattr(sharing, "row_sparse")):
        raise UsageError(f"sharing: must be a scheme of pocketrec.sharing, got {sharing!r}")


def check_dtype(dtype: Any) -> None:
    """Refuse what no memory can be stored in."""
    if dtype is not None and dtype not in DTYPES:
        raise UsageError(f"dtype: must be one of {', '.join(map(str, DTYPES))}, got {dtype!r}")


def check_tables(tables: Any) -> tuple[Table, ...]:
    """The tables, as a tuple; refuse anything else."""
    if isinstance(tables, Table) or not isinstance(tables, Iterable):
        raise UsageError(f"tables: must be a list of Tables, got {tables!r}")
    found = tuple(tables)
    for table in found:
        if not isinstance(table, Table):
            raise UsageError(f"tables: must be Tables, got {table!r}")
    if not found:
        raise UsageError("an embedding collection needs at least one table")
    return found


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
