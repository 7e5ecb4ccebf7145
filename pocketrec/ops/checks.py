"""Refuse bad arguments before a kernel reads them: argument, rule, value got, what to do.

Shapes, types and devices are looked at here. Values are looked at inside the registered op, where that does not break
`torch.compile(fullgraph=True)`: `is_sound` of the C++ kernel finds in one pass whether anything is wrong, and
`explain` says what. On CUDA, values are checked on the device (see `pocketrec.kernels.cuda.checks`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from pocketrec import hashing
from pocketrec.errors import UsageError
from pocketrec.ops import reference
from pocketrec.ops.layout import SCALE_BLOCK, FeatureLayout, Mode, Rule, Sign, from_tensor

_SHARDED = (
    "the memory is sharded: it is whole only inside the forward of the module that FSDP wraps, so call that module, or "
    "wrap the embeddings in a group of their own"
)


def check_whole(memory: Tensor, shape: tuple[int, ...] | None = None) -> None:
    """Raise ValueError for a memory of which each process holds a part; before dispatch, which would name the op.

    Such are DTensors, what FSDP has freed while views still look at it, and other shapes than the one expected.
    """
    if torch.compiler.is_compiling():
        return
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    freed = distributed and memory.numel() > 0 and memory.untyped_storage().nbytes() == 0
    if hasattr(memory, "placements") or freed or (distributed and shape is not None and memory.shape != shape):
        raise UsageError(_SHARDED)


def check_devices(memory: Tensor, **others: Tensor | None) -> None:
    """Raise ValueError unless all lie where the memory does; before dispatch, which would pick some device's kernel."""
    for name, tensor in others.items():
        if tensor is not None and tensor.device != memory.device:
            advice = f"move one with .to({str(memory.device)!r})"
            raise UsageError(f"{name} on {tensor.device}, but the memory is on {memory.device}: {advice}")


def prepare_weights(
    memory: Tensor,
    indices: Tensor,
    offsets: Tensor | None,
    weights: Tensor | None,
    layout: Tensor,
    scales: Tensor | None,
) -> Tensor | None:
    """Check the devices; the weights, in the rows' type where autocast made them of half precision."""
    check_devices(memory, ids=indices, offsets=offsets, per_sample_weights=weights, layout=layout, scales=scales)
    return None if weights is None else as_rows(weights, memory.dtype if scales is None else scales.dtype)


def as_rows(weights: Tensor, dtype: torch.dtype) -> Tensor:
    """Weights in the rows' type: converted under autocast, else refused where they are not."""
    if torch.is_autocast_enabled(weights.device.type):
        return weights.to(dtype)
    _require(weights.dtype == dtype, f"per_sample_weights must be {dtype} like the rows, got {weights.dtype}")
    return weights


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise UsageError(message)


def _check_batch(indices: Tensor, offsets: Tensor | None, weights: Tensor | None, features: int) -> None:
    """What modules take, and (B, F, K) ids: bags of K each."""
    if offsets is not None or indices.dim() != 3:
        check_shapes(indices, offsets, weights, features)
        return
    _require(
        indices.shape[1] == features and indices.shape[2] > 0,
        f"ids must have shape (B, {features}) or (B, {features}, K), one column a feature, got {tuple(indices.shape)}",
    )
    _check_weights(indices, weights)


def check_tensors(
    memory: Tensor,
    indices: Tensor,
    offsets: Tensor | None,
    weights: Tensor | None,
    layout: Tensor,
    scales: Tensor | None = None,
) -> None:
    """Raise ValueError on a wrong type, shape or stride."""
    _check_memory(memory, scales)
    for name, tensor in (("ids", indices), ("offsets", offsets), ("layout", layout)):
        if tensor is not None:
            _require(tensor.dtype == torch.int64, f"{name} must be int64, got {tensor.dtype}: convert with .long()")
            _require(tensor.is_contiguous(), f"{name} must be contiguous: call .contiguous() on it")
    _require(
        layout.dim() == 2 and layout.shape[1] == len(FeatureLayout._fields),
        f"layout must have shape (F, {len(FeatureLayout._fields)}), got {tuple(layout.shape)}",
    )
    _check_batch(indices, offsets, weights, layout.shape[0])
    if weights is not None:
        dtype = memory.dtype if scales is None else scales.dtype
        _require(weights.dtype == dtype, f"per_sample_weights must be {dtype} like the rows, got {weights.dtype}")
        _require(weights.is_contiguous(), "per_sample_weights must be contiguous: call .contiguous() on it")


def check_gradient(memory: Tensor, grad: Tensor, samples: int) -> None:
    """Raise ValueError unless `grad` is that of `samples` rows of output."""
    check_devices(memory, grad=grad)
    _require(
        grad.dim() == 2 and grad.shape[0] == samples and grad.dtype == memory.dtype,
        f"grad must be {memory.dtype} with {samples} rows, got {grad.dtype} of shape {tuple(grad.shape)}",
    )


def check_state(memory: Tensor, name: str, array: Tensor | None, dtype: torch.dtype, size: int) -> None:
    """Raise ValueError unless an array that goes with a memory has `size` numbers of type `dtype`."""
    if array is None:
        raise UsageError(f"{name} is missing: this step keeps numbers in it")
    check_devices(memory, **{name: array})
    fits = array.numel() == size and array.is_contiguous()
    _require(fits, f"{name} must be contiguous and hold {size} numbers, got shape {tuple(array.shape)}")
    _require(array.dtype == dtype, f"{name} must be {dtype} for a memory of {memory.dtype}, got {array.dtype}")


def _check_memory(memory: Tensor, scales: Tensor | None) -> None:
    if scales is None:
        _require(memory.is_floating_point(), f"the memory must hold floating-point numbers, got {memory.dtype}")
    else:
        blocks = -(-memory.numel() // SCALE_BLOCK)
        _require(memory.dtype == torch.int8, f"a memory with scales must be int8, got {memory.dtype}")
        _require(
            scales.shape == (blocks,) and scales.dtype == torch.float32 and scales.is_contiguous(),
            f"scales must be contiguous float32 of shape ({blocks},), one for {SCALE_BLOCK} slots, "
            f"got {scales.dtype} of shape {tuple(scales.shape)}",
        )
    _require(memory.is_contiguous(), "the memory must be contiguous: call .contiguous() on it")
    _require(memory.data_ptr() != 0 or memory.numel() == 0, _SHARDED)


def _divides(features: int, bags: int) -> bool:
    return bags % features == 0 if features else bags == 0


def check_shapes(indices: Tensor, offsets: Tensor | None, weights: Tensor | None, features: int) -> None:
    """Raise ValueError unless ids, offsets and weights have the shapes of bags of `features` features."""
    if offsets is None:
        _require(
            indices.dim() == 2 and indices.shape[1] == features,
            f"ids must have shape (B, {features}), one column a feature, got {tuple(indices.shape)}",
        )
    else:
        _require(indices.dim() == 1, f"ids of bags must be 1-D, got shape {tuple(indices.shape)}")
        _require(
            offsets.dim() == 1 and len(offsets) >= 1 and _divides(features, len(offsets) - 1),
            f"offsets must be 1-D with F*B+1 entries for F={features} features, got shape {tuple(offsets.shape)}",
        )
    _check_weights(indices, weights)


def _check_weights(indices: Tensor, weights: Tensor | None) -> None:
    if weights is not None:
        _require(
            weights.shape == indices.shape,
            f"per_sample_weights must have the shape of the ids, {tuple(indices.shape)}, got {tuple(weights.shape)}",
        )


def check_bags(indices: Tensor, offsets: Tensor | None, weights: Tensor | None, features: int) -> None:
    """Raise ValueError unless ids, offsets and weights describe bags of `features` features."""
    check_shapes(indices, offsets, weights, features)
    if offsets is not None:
        _check_offsets(indices, offsets)


def explain(
    memory: Tensor,
    indices: Tensor,
    offsets: Tensor | None,
    weighted: bool,
    layout: Tensor,
    width: int,
    names: str,
) -> None:
    """Raise ValueError on values that a lookup could not serve, naming the first."""
    _check_layout(memory, weighted, layout, width)
    if offsets is not None:
        _check_offsets(indices, offsets)
    explain_ids(indices, offsets, layout, names)


def explain_ids(indices: Tensor, offsets: Tensor | None, layout: Tensor, names: str) -> None:
    """Raise ValueError where an id lies outside its table, naming the first."""
    position = reference.first_bad_id(indices, offsets, layout)
    if position >= 0:
        raise UsageError(_describe_bad_id(position, indices, offsets, layout, names))


def _check_layout(memory: Tensor, weighted: bool, layout: Tensor, width: int) -> None:
    """The memory reaches as far as the layout reads, and the features' columns tile the output."""
    column = 0
    for feature in from_tensor(layout):
        _check_feature(feature, memory.numel())
        tiled = feature.column == column
        column += feature.dim
        _require(tiled, f"the features' columns must follow one another and be {width} wide together")
        if weighted:
            _require(feature.mode == Mode.SUM, "per_sample_weights work with sum pooling only, got mean or max")
    _require(column == width, f"the features' columns must follow one another and be {width} wide together")


def _check_feature(f: FeatureLayout, slots: int) -> None:
    """Every start and every run lies in the feature's region, and that in the memory."""
    known = f.rule in set(Rule) and f.mode in set(Mode) and f.sign in set(Sign)
    sizes = (f.dim, f.chunk, f.align)
    positive = min(*sizes, f.places) >= 1 and max(sizes) < hashing.SLOT_LIMIT and min(f.base, f.num_embeddings) >= 0
    _require(known and positive, f"no such layout: {f}")
    needed = f.base + f.span
    _require(needed <= slots, f"the layout reads {needed} slots but the memory has only {slots}, or {_SHARDED}")
    own = 0 <= f.exact_base <= f.base and 0 <= f.exact <= (f.base - f.exact_base) // f.dim
    _require(own, f"rows of their own must lie before the region of the others: {f}")
    longest = min(f.chunk, f.dim)
    _require(f.span >= longest, f"a region of {f.span} slots is shorter than a chunk of {longest}")
    starts = (f.places - 1) * f.align < f.span
    served = f.num_embeddings <= f.places if f.rule == Rule.DIRECT else f.places < hashing.SLOT_LIMIT
    _require(starts and served, f"the layout's rows lie outside its region, or it hashes 2^31 places or more: {f}")


def _check_offsets(indices: Tensor, offsets: Tensor) -> None:
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
        sample, feature = divmod(position * features // max(indices[:1].numel(), 1), features)
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
