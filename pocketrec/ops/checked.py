"""Ids, checked: for schemes that turn them into other ids before the lookup sees them."""

from __future__ import annotations

import torch
from torch import Tensor

from pocketrec import kernels
from pocketrec.ops import checks
from pocketrec.ops.dispatch import is_plain
from pocketrec.ops.layout import FeatureLayout
from pocketrec.ops.library import library

library.define("checked_ids(Tensor indices, Tensor? offsets, Tensor layout, str names='') -> Tensor")

_LIMIT, _PADDING = (FeatureLayout._fields.index(name) for name in ("num_embeddings", "padding"))


def features_of_ids(indices: Tensor, offsets: Tensor, num_features: int) -> Tensor:
    """The feature of each id of feature-major bags, (N,) int64."""
    samples = (offsets.shape[0] - 1) // num_features
    if samples == 0:
        return torch.zeros_like(indices)
    return torch.repeat_interleave(offsets[::samples].diff(), output_size=indices.shape[0])


def _check(indices: Tensor, offsets: Tensor | None, layout: Tensor, names: str) -> None:
    checks.check_shapes(indices, offsets, None, len(layout))
    on_device = indices.device.type == "cuda"
    if not on_device:
        if _is_sound(indices, offsets, layout):
            return
        checks.check_bags(indices, offsets, None, len(layout))
    limits, padding = layout[:, _LIMIT], layout[:, _PADDING]
    if offsets is not None:
        own = features_of_ids(indices, offsets, len(layout))
        limits, padding = limits.index_select(0, own), padding.index_select(0, own)
    good = ((indices >= 0) & ((indices < limits) | (indices == padding))).all()
    if on_device:
        torch._assert_async(good, "pocketrec: an id outside its table; call again on the CPU to see which")
    elif not good:
        checks.explain_ids(indices, offsets, layout, names)


def _is_sound(indices: Tensor, offsets: Tensor | None, layout: Tensor) -> bool:
    """In one pass, where there is a kernel for it. It asks only the memory's size, and the layout is no smaller."""
    kernel = kernels.cpu()
    contiguous = indices.is_contiguous() and (offsets is None or offsets.is_contiguous())
    if kernel is None or not contiguous:
        return False
    sound: bool = kernel.is_sound(layout, indices, offsets, False, layout, len(layout))
    return sound


def _checked_ids(indices: Tensor, offsets: Tensor | None, layout: Tensor, names: str) -> Tensor:
    _check(indices, offsets, layout, names)
    return indices.clone()


library.impl("checked_ids", _checked_ids, "CompositeExplicitAutograd")


@torch.library.register_fake("pocketrec::checked_ids", lib=library)
def _(indices: Tensor, offsets: Tensor | None, layout: Tensor, names: str = "") -> Tensor:
    return torch.empty_like(indices)


def checked_ids(indices: Tensor, offsets: Tensor | None, layout: Tensor, names: str = "") -> Tensor:
    """The same ids, once each is known to lie in its table (or to be padding). An op, so that tracing keeps the check.

    Args:
        indices, offsets, names: as `pocketrec.ops.lookup`.
        layout: (F, 20), of which `num_embeddings` and `padding` matter; all rows are one slot wide, and the same slot.

    Raises:
        ValueError: an id outside its table (on CUDA the device asserts), or bags of another shape than F*B.
    """
    if is_plain(indices, offsets):
        _check(indices, offsets, layout, names)
        return indices
    own: Tensor = torch.ops.pocketrec.checked_ids(indices, offsets, layout, names)
    return own
