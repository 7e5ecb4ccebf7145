"""Refuse bad arguments before a kernel reads them: argument, rule, value got, what to do.

Runs inside the registered op, where looking at data does not break `torch.compile(fullgraph=True)`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pocketrec import hashing
from pocketrec.errors import UsageError
from pocketrec.ops.layout import FeatureLayout, from_tensor


def check_devices(memory: Tensor, **others: Tensor | None) -> None:
    """Raise ValueError unless all lie where the memory does; before dispatch, which would pick some device's kernel."""
    for name, tensor in others.items():
        if tensor is not None and tensor.device != memory.device:
            advice = f"move one with .to({str(memory.device)!r})"
            raise UsageError(f"{name} on {tensor.device}, but the memory is on {memory.device}: {advice}")


def check(
    kernel: Any,
    memory: Tensor,
    indices: Tensor,
    offsets: Tensor | None,
    weights: Tensor | None,
    layout: Tensor,
    width: int,
    names: str,
) -> None:
    """Raise ValueError on anything a lookup could not serve; `kernel` finds the first bad id."""
    _check_tensors(memory, indices, offsets, weights, layout)
    _check_layout(memory, weights, layout, width)
    check_bags(indices, offsets, weights, len(layout))
    position = kernel.first_bad_id(indices, offsets, layout)
    if position >= 0:
        raise UsageError(_describe_bad_id(position, indices, offsets, layout, names))


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise UsageError(message)


def _check_tensors(
    memory: Tensor, indices: Tensor, offsets: Tensor | None, weights: Tensor | None, layout: Tensor
) -> None:
    _require(memory.is_floating_point(), f"the memory must hold floating-point numbers, got {memory.dtype}")
    _require(memory.is_contiguous(), "the memory must be contiguous: call .contiguous() on it")
    for name, tensor in (("ids", indices), ("offsets", offsets), ("layout", layout)):
        if tensor is not None:
            _require(tensor.dtype == torch.int64, f"{name} must be int64, got {tensor.dtype}: convert with .long()")
            _require(tensor.is_contiguous(), f"{name} must be contiguous: call .contiguous() on it")
    _require(
        layout.dim() == 2 and layout.shape[1] == len(FeatureLayout._fields),
        f"layout must have shape (F, {len(FeatureLayout._fields)}), got {tuple(layout.shape)}",
    )
    if weights is not None:
        _require(
            weights.dtype == memory.dtype,
            f"per_sample_weights must be {memory.dtype} like the memory, got {weights.dtype}",
        )
        _require(weights.is_contiguous(), "per_sample_weights must be contiguous: call .contiguous() on it")


def _check_layout(memory: Tensor, weights: Tensor | None, layout: Tensor, width: int) -> None:
    """The memory reaches as far as the layout reads, and the features' columns tile the output."""
    columns = dict(zip(FeatureLayout._fields, layout.T, strict=True))
    needed = int((columns["base"] + columns["span"]).max()) if len(layout) else 0
    _require(needed <= memory.numel(), f"the layout reads {needed} slots but the memory has only {memory.numel()}")
    ends = columns["dim"].cumsum(0)
    tiled = torch.equal(columns["column"] + columns["dim"], ends) and (int(ends[-1]) if len(layout) else 0) == width
    _require(tiled, f"the features' columns must follow one another and be {width} wide together")
    if weights is not None:
        _require(not columns["mode"].any(), "per_sample_weights work with sum pooling only, got mean or max")


def check_bags(indices: Tensor, offsets: Tensor | None, weights: Tensor | None, features: int) -> None:
    """Raise ValueError unless ids, offsets and weights have the shapes of `features` features."""
    if offsets is None:
        _require(
            indices.dim() == 2 and indices.shape[1] == features,
            f"ids must have shape (B, {features}), one column a feature, got {tuple(indices.shape)}",
        )
    else:
        _check_offsets(indices, offsets, features)
    if weights is not None:
        _require(
            weights.shape == indices.shape,
            f"per_sample_weights must have the shape of the ids, {tuple(indices.shape)}, got {tuple(weights.shape)}",
        )


def _check_offsets(indices: Tensor, offsets: Tensor, features: int) -> None:
    _require(indices.dim() == 1, f"ids of bags must be 1-D, got shape {tuple(indices.shape)}")
    _require(
        offsets.dim() == 1 and len(offsets) >= 1 and (len(offsets) - 1) % max(features, 1) == 0,
        f"offsets must be 1-D with F*B+1 entries for F={features} features, got shape {tuple(offsets.shape)}",
    )
    first, last = int(offsets[0]), int(offsets[-1])
    _require(
        first == 0 and last == len(indices),
        f"offsets must run from 0 to the number of ids, {len(indices)}, got {first} to {last}",
    )
    falls = (offsets[1:] < offsets[:-1]).nonzero()
    if len(falls):
        at = int(falls[0, 0]) + 1
        raise UsageError(f"offsets must not fall: offset {at} is {int(offsets[at])} after {int(offsets[at - 1])}")


def _describe_bad_id(position: int, indices: Tensor, offsets: Tensor | None, layout: Tensor, names: str) -> str:
    features = len(layout)
    if offsets is None:
        sample, feature = divmod(position, features)
    else:
        bag = int(torch.searchsorted(offsets, position, right=True)) - 1
        feature, sample = divmod(bag, (len(offsets) - 1) // features)
    limit = from_tensor(layout)[feature].num_embeddings
    name = names.split("\n")[feature] if names else str(feature)
    bound = "2^62" if limit == hashing.ID_LIMIT else str(limit)
    advice = "ids are not negative" if limit == hashing.ID_LIMIT else "raise num_embeddings or map unseen ids to a row"
    return (
        f"feature {name!r}, sample {sample}: id {int(indices.reshape(-1)[position])} is outside [0, {bound}): {advice}"
    )
