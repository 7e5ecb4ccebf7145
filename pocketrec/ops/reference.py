"""The lookup in plain PyTorch: the truth every kernel is tested against, and the path taken where there is no kernel.

Feature by feature: slots of every element, gather, sign, weight, pool. Deterministic on CPU at any thread count:
gathers are `index_select`, scatters `index_add_` (the backward of `memory[index]` is not).

Letters: B samples, F features, N ids in all, n ids of one feature, D width of a row, C chunks of a row, M slots.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from pocketrec import hashing
from pocketrec.ops.layout import SCALE_BLOCK, FeatureLayout, Mode, Rule, Sign, from_tensor


def starts_and_signs(feature: FeatureLayout, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Where each chunk of each row starts inside its region, and its sign: two (n, C) int64 tensors."""
    chunks = torch.arange(-(-feature.dim // feature.chunk), device=ids.device)
    rows = ids[:, None]
    signs = torch.ones_like(rows + chunks)
    if feature.rule == Rule.DIRECT:
        places = rows.expand_as(signs)
    elif feature.rule == Rule.MIXING:
        hashed = hashing.mixing_hash(rows, chunks, feature.place_0)
        places = hashing.scale(hashed, feature.places)
        if feature.sign == Sign.PER_CHUNK:
            signs = hashing.chunk_sign(hashed)
    else:
        places = hashing.linear_hash(rows, chunks, *feature.place_coefficients) % feature.places
    return places * feature.align, signs


def slots_and_signs(feature: FeatureLayout, ids: Tensor) -> tuple[Tensor, Tensor]:
    """The slot that serves each element of each row, and its sign: two (n, D) int64 tensors."""
    starts, signs = starts_and_signs(feature, ids)
    elements = torch.arange(feature.dim, device=ids.device)
    chunk_of_element = elements // feature.chunk
    starts = starts.index_select(1, chunk_of_element)
    slots = feature.base + (starts + elements % feature.chunk) % feature.span
    exact = (ids < feature.exact)[:, None]
    slots = torch.where(exact, feature.exact_base + ids[:, None] * feature.dim + elements, slots)
    if feature.sign == Sign.PER_ELEMENT:
        return slots, hashing.element_sign(hashing.linear_hash(ids[:, None], elements, *feature.sign_coefficients))
    return slots, signs.index_select(1, chunk_of_element).masked_fill(exact, 1)


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """What sums of `dtype` are kept in: half precisions are rounded once, at the end."""
    return torch.float32 if dtype.itemsize < 4 else dtype


def rows(memory: Tensor, feature: FeatureLayout, ids: Tensor, scales: Tensor | None = None) -> Tensor:
    """The (n, D) rows of one feature's table, at least in float32; differentiable in `memory` (M,)."""
    slots, signs = slots_and_signs(feature, ids)
    values = memory.reshape(-1).index_select(0, slots.reshape(-1)).to(accumulator(memory.dtype))
    if scales is not None:
        values = values * scales.index_select(0, slots.reshape(-1) // SCALE_BLOCK)
    return values.view(slots.shape) * signs


def bags(indices: Tensor, offsets: Tensor | None, layout: Tensor) -> Iterator[tuple[FeatureLayout, Tensor, Tensor]]:
    """For each feature: its layout, the positions of its ids in `indices.reshape(-1)`, and the sample of each."""
    features = from_tensor(layout)
    if offsets is None:
        each = indices.shape[2] if indices.dim() == 3 else 1
        samples = torch.arange(indices.shape[0], device=indices.device)
        owners, places = samples.repeat_interleave(each), torch.arange(each, device=indices.device)
        for number, feature in enumerate(features):
            first = (samples * len(features) + number) * each
            yield feature, (first[:, None] + places).flatten(), owners
        return
    num_samples = (offsets.numel() - 1) // max(len(features), 1)
    for number, feature in enumerate(features):
        own = offsets[number * num_samples : (number + 1) * num_samples + 1]
        positions = torch.arange(int(own[0]), int(own[-1]), device=indices.device)
        samples = torch.searchsorted(own, positions, right=True) - 1
        yield feature, positions, samples


def _factors(
    feature: FeatureLayout, ids: Tensor, samples: Tensor, num_samples: int, weights: Tensor | None, dtype: torch.dtype
) -> Tensor:
    """What each row is multiplied by before a sum or mean, (n,): 0 for padding, 1/count for a mean, the weight."""
    factors = (ids != feature.padding).to(dtype)
    if feature.mode == Mode.MEAN:
        counts = torch.zeros(num_samples, dtype=dtype, device=ids.device).index_add_(0, samples, factors)
        factors = factors / counts.clamp(min=1).index_select(0, samples)
    return factors if weights is None else factors * weights


def _winners(values: Tensor, samples: Tensor, ids: Tensor, feature: FeatureLayout, num_samples: int) -> Tensor:
    """Which rows win the maximum of their bag: (n, D) bool, the first of ties, never padding."""
    kept = (ids != feature.padding)[:, None]
    masked = values.detach().masked_fill(~kept, -torch.inf)
    index = samples[:, None].expand_as(masked)
    best = masked.new_full((num_samples, feature.dim), -torch.inf).scatter_reduce_(0, index, masked, "amax")
    ties = kept & ((masked == best.index_select(0, samples)) | masked.isnan())
    order = torch.arange(len(ids), device=ids.device)[:, None].expand_as(index)
    last = order.new_full((num_samples, feature.dim), len(ids))
    first = last.scatter_reduce_(0, index, torch.where(ties, order, len(ids)), "amin")
    return order == first.index_select(0, samples)


def _parts(
    memory: Tensor,
    indices: Tensor,
    offsets: Tensor | None,
    weights: Tensor | None,
    layout: Tensor,
    num_samples: int,
    scales: Tensor | None = None,
) -> Iterator[tuple[FeatureLayout, Tensor, Tensor, Tensor, Tensor]]:
    """For each feature: layout, positions, samples, rows (n, D) and the factor of each row or element.

    Rows and elements that do not count are zero, whatever the memory holds there: 0 times infinity is not 0.
    """
    flat = indices.reshape(-1)
    for feature, positions, samples in bags(indices, offsets, layout):
        ids = flat.index_select(0, positions)
        values = rows(memory, feature, ids, scales)
        if feature.mode == Mode.MAX:
            winners = _winners(values, samples, ids, feature, num_samples)
            values, factors = values.masked_fill(~winners, 0), winners.to(values.dtype)
        else:
            own = None if weights is None else weights.reshape(-1).index_select(0, positions)
            factors = _factors(feature, ids, samples, num_samples, own, values.dtype)[:, None]
            values = values.masked_fill((ids == feature.padding)[:, None], 0)
        yield feature, positions, samples, values, factors


def num_samples(indices: Tensor, offsets: Tensor | None, layout: Tensor) -> int:
    """B, from the shape of the ids or the number of offsets."""
    return indices.shape[0] if offsets is None else (offsets.shape[0] - 1) // max(layout.shape[0], 1)


def lookup(
    memory: Tensor,
    indices: Tensor,
    offsets: Tensor | None,
    weights: Tensor | None,
    layout: Tensor,
    width: int,
    scales: Tensor | None = None,
) -> Tensor:
    """All features' pooled rows side by side, (B, width). Differentiable in `memory`, `weights` by autograd."""
    samples = num_samples(indices, offsets, layout)
    dtype = memory.dtype if scales is None else scales.dtype
    pooled = [memory.new_zeros(samples, 0, dtype=dtype)]
    for feature, _, owner, values, factors in _parts(memory, indices, offsets, weights, layout, samples, scales):
        pooled.append(values.new_zeros(samples, feature.dim).index_add(0, owner, values * factors))
    return torch.cat([column.to(dtype) for column in pooled], dim=1)


def lookup_backward(
    grad: Tensor,
    memory: Tensor,
    indices: Tensor,
    offsets: Tensor | None,
    weights: Tensor | None,
    layout: Tensor,
    rounded: bool = True,
) -> Tensor:
    """The gradient to the memory, of its shape; of half precision only when `rounded`. As autograd through `lookup`."""
    flat, grad_memory = indices.reshape(-1), memory.new_zeros(memory.numel(), dtype=accumulator(memory.dtype))
    for feature, positions, owner, _, factors in _parts(memory, indices, offsets, weights, layout, grad.shape[0]):
        slots, signs = slots_and_signs(feature, flat.index_select(0, positions))
        own = grad[:, feature.column : feature.column + feature.dim].index_select(0, owner) * factors * signs
        grad_memory.index_add_(0, slots.reshape(-1), own.reshape(-1))
    return (grad_memory.to(memory.dtype) if rounded else grad_memory).view(memory.shape)


def lookup_backward_rows(
    grad: Tensor,
    memory: Tensor,
    indices: Tensor,
    offsets: Tensor | None,
    weights: Tensor | None,
    layout: Tensor,
    dim: int,
) -> Tensor:
    """The gradient to each id's own row, (N, dim): the values of a row-sparse gradient."""
    grad_rows = memory.new_zeros(indices.numel(), dim)
    for feature, positions, owner, _, factors in _parts(memory, indices, offsets, weights, layout, grad.shape[0]):
        own = grad[:, feature.column : feature.column + feature.dim].index_select(0, owner) * factors
        grad_rows.index_copy_(0, positions, own.to(memory.dtype))
    return grad_rows


def lookup_backward_weights(
    grad: Tensor, memory: Tensor, indices: Tensor, offsets: Tensor | None, layout: Tensor
) -> Tensor:
    """The gradient to each id's weight, (N,): its row times its bag's gradient."""
    grad_weights = memory.new_zeros(indices.numel())
    for feature, positions, owner, values, factors in _parts(memory, indices, offsets, None, layout, grad.shape[0]):
        own = grad[:, feature.column : feature.column + feature.dim].index_select(0, owner)
        grad_weights.index_copy_(0, positions, (own * values * factors).sum(1).to(memory.dtype))
    return grad_weights


def first_bad_id(indices: Tensor, offsets: Tensor | None, layout: Tensor) -> int:
    """The position in `indices.reshape(-1)` of the first id (by feature) outside its table, or -1."""
    flat = indices.reshape(-1)
    for feature, positions, _ in bags(indices, offsets, layout):
        ids = flat.index_select(0, positions)
        bad = ((ids < 0) | ((ids >= feature.num_embeddings) & (ids != feature.padding))).nonzero()
        if len(bad):
            return int(positions[bad[0, 0]])
    return -1
