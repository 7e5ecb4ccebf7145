"""Batches as training sees them: `(*inputs, labels)`, on a device, through a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pocketrec.errors import UsageError


def split_batch(batch: Any, device: torch.device) -> tuple[tuple[Any, ...], Tensor]:
    """`(*inputs, labels)` on `device`, the labels (B,) float. Tensors may be nested in tuples, lists and dicts."""
    if not isinstance(batch, Sequence) or len(batch) < 2 or not isinstance(batch[-1], Tensor):
        raise UsageError(f"a batch must be (*inputs, labels) with labels a tensor, got {_describe(batch)}")
    *inputs, labels = (_to(part, device) for part in batch)
    return tuple(inputs), labels.reshape(-1).float()


def forward(model: nn.Module, inputs: tuple[Any, ...], labels: Tensor) -> Tensor:
    """The model's logits as (B,) float; (B, 1) is accepted too. Raises UsageError for any other shape."""
    logits = model(*inputs)
    if not isinstance(logits, Tensor) or logits.numel() != labels.numel() or logits.shape[0] != labels.shape[0]:
        raise UsageError(f"model: must return logits of shape ({labels.numel()},), got {_describe(logits)}")
    return logits.reshape(-1).float()


def _to(part: Any, device: torch.device) -> Any:
    if isinstance(part, Tensor):
        return part.to(device, non_blocking=True)
    if isinstance(part, tuple | list):
        return type(part)(_to(item, device) for item in part)
    if isinstance(part, dict):
        return {key: _to(item, device) for key, item in part.items()}
    return part


def tensors_in(part: Any) -> Iterator[Tensor]:
    """All tensors nested in tuples, lists and dicts."""
    if isinstance(part, Tensor):
        yield part
    elif isinstance(part, dict):
        yield from tensors_in(list(part.values()))
    elif isinstance(part, Iterable) and not isinstance(part, str):
        for item in part:
            yield from tensors_in(item)


def first_not_finite(inputs: Sequence[Any]) -> str:
    """`input 0 of this batch holds NaN or infinity, first at [3, 0]; clean the data`, or nothing."""
    for number, part in enumerate(inputs):
        for tensor in tensors_in(part):
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                place = ", ".join(str(int(i)) for i in (~torch.isfinite(tensor)).nonzero()[0])
                return f"input {number} of this batch holds NaN or infinity, first at [{place}]; clean the data"
    return ""


def _describe(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
