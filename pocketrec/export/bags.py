"""Bags of ids as padded arrays: what a graph takes where PyTorch takes values and offsets, which would need a loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pocketrec.embedding import SharedTables
from pocketrec.ops import Mode
from pocketrec.sharing.table import POOLINGS


class PaddedBags(NamedTuple):
    """Bags of up to K ids for each of B samples and F features."""

    ids: Tensor
    """(B, F, K) int64; what the mask leaves out may be anything."""
    mask: Tensor
    """(B, F, K) bool: which of them are there."""
    weights: Tensor | None = None
    """(B, F, K) of a sum, like `per_sample_weights`."""

    def jagged(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """The same feature by feature: values, F*B+1 offsets and weights, as an `EmbeddingBagCollection` takes them."""
        mask = self.mask.transpose(0, 1)
        lengths = mask.sum(2).reshape(-1)
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        values, weights = (None if t is None else t.transpose(0, 1)[mask] for t in (self.ids, self.weights))
        assert values is not None
        return values, offsets, weights


def pooled(owner: SharedTables, bags: PaddedBags) -> Tensor:
    """The bags' vectors side by side, (B, sum of D): each id's row recovered, then pooled. Equivalent to lookups of
    `bags.jagged()`, for every scheme.
    """
    of_feature = [table for table in owner.tables for _ in table.features]
    samples, features, length = bags.ids.shape
    ids = torch.where(bags.mask, bags.ids, 0)
    kept = bags.mask
    if any(table.padding >= 0 for table in of_feature):
        kept = kept & (ids != torch.tensor([table.padding for table in of_feature])[:, None])
    rows = owner.lookup(ids.transpose(1, 2).reshape(-1, features)).unflatten(0, (samples, length))
    columns = torch.tensor([f for f, table in enumerate(of_feature) for _ in range(table.embedding_dim)])
    if bags.weights is not None:
        rows = rows * bags.weights.transpose(1, 2).index_select(2, columns)
    modes = [POOLINGS[table.pooling] for table in of_feature for _ in range(table.embedding_dim)]
    return _pool(rows, kept.transpose(1, 2).index_select(2, columns), modes)


def _pool(rows: Tensor, kept: Tensor, modes: Sequence[int]) -> Tensor:
    """(B, K, width) -> (B, width), each column by its mode; an empty bag is zeros."""
    total = torch.where(kept, rows, 0.0).sum(1)
    if Mode.MEAN in modes:
        total = _where(modes, Mode.MEAN, total / kept.sum(1).clamp(min=1).to(rows.dtype), total)
    if Mode.MAX in modes:
        most = torch.where(kept, rows, -torch.inf).amax(1)
        total = _where(modes, Mode.MAX, torch.where(kept.any(1), most, 0.0), total)
    return total


def _where(modes: Sequence[int], mode: Mode, those: Tensor, others: Tensor) -> Tensor:
    if all(own == mode for own in modes):
        return those
    return torch.where(torch.tensor([own == mode for own in modes]), those, others)
