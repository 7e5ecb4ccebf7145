"""The lookup of schemes with a `Recovery`: ids become ids of pieces, one op looks them up, pieces become rows.

Bags are pooled by the op where rows are linear in their pieces; else, and for a maximum over sums, each id's row is
recovered first and the rows are pooled.

Letters: B samples, F features, N ids in all, S pieces of a row side by side, K terms that add up to a piece.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from pocketrec import ops
from pocketrec.ops import FeatureLayout, Mode, Rule, features_of_ids
from pocketrec.ops.checks import check_shapes
from pocketrec.ops.dispatch import is_plain
from pocketrec.ops.layout import to_tensor
from pocketrec.sharing import PADDED, Recovery

_PADDING, _MODE = (FeatureLayout._fields.index(name) for name in ("padding", "mode"))
Read = Callable[[Tensor, Tensor | None, Tensor | None, int | None], Tensor]
"""(ids, offsets, weights, one feature or None for all) -> pieces: the lookup of the memory."""


def recover(
    recovery: Recovery,
    read: Read,
    adapt_: Callable[[Tensor, Tensor], None],
    indices: Tensor,
    offsets: Tensor | None,
    weights: Tensor | None,
    names: str,
) -> Tensor:
    """Pooled rows of all features side by side, (B, sum of D); in training the recovery learns from the ids first.

    Raises:
        ValueError: see `pocketrec.ops.lookup`.
    """
    check_shapes(indices, offsets, weights, len(recovery.rows))
    ids = ops.checked_ids(indices, offsets, recovery.features, names)
    tables = feature_of_id = recovery.table_of_feature
    if offsets is not None:
        feature_of_id = features_of_ids(ids, offsets, len(recovery.rows))
        tables = tables.index_select(0, feature_of_id)
    if recovery.training and torch.is_grad_enabled() and not torch.compiler.is_compiling():
        adapt_(ids, tables)
    lookup = _Lookup(recovery, read)
    if offsets is None:
        return lookup.one_each(ids, weights)
    one_term = recovery.terms == 1 and not recovery.combines
    if recovery.linear and (one_term or all(row.mode != Mode.MAX for row in recovery.rows)):
        return lookup.pooled_pieces(ids, feature_of_id, tables, offsets, weights)
    return lookup.pooled_rows(ids, offsets, weights)


@dataclass(frozen=True)
class _Lookup:
    recovery: Recovery
    read: Read

    def one_each(self, ids: Tensor, weights: Tensor | None) -> Tensor:
        """One id of each feature (B, F) -> their rows side by side."""
        if not self._finds_repeats(ids):
            return self._every(ids, weights, None)
        rows = torch.cat([self.rows_of(column, f) for f, column in enumerate(ids.unbind(1))], 1)
        return _weigh(rows, None, weights, self.recovery.rows)

    def rows_of(self, ids: Tensor, feature: int) -> Tensor:
        """Ids of one feature (n,) -> their rows (n, D)."""
        if not self._finds_repeats(ids):
            return self._every(ids[:, None], None, feature)
        distinct, place = ids.unique(return_inverse=True)
        return self._every(distinct[:, None], None, feature).index_select(0, place)

    def _finds_repeats(self, ids: Tensor) -> bool:
        """On a CPU: elsewhere one would wait for the device to count them."""
        return self.recovery.costly and ids.device.type == "cpu" and is_plain(ids)

    def _every(self, ids: Tensor, weights: Tensor | None, feature: int | None) -> Tensor:
        """Rows of all features (B, F), or of the one told (n, 1)."""
        own = slice(None) if feature is None else slice(feature, feature + 1)
        recovery, rows = self.recovery, self.recovery.rows[own]
        pieces, factors = recovery.translate(ids, recovery.table_of_feature[own])
        kept = ids != recovery.features[own, _PADDING] if _may_pad(rows) else None
        pieces, factors = self._masked(pieces, factors, kept, weights if recovery.linear else None)
        out = recovery.combine(self._read_one_each(pieces, factors, feature), ids, recovery.table_numbers[own])
        return out if recovery.linear else _weigh(out, kept, weights, rows)

    def _masked(
        self, pieces: Tensor, factors: Tensor | None, kept: Tensor | None, weights: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Pieces of padding are padding; what each piece is multiplied by."""
        shape = (*pieces.shape[:-2], self.recovery.splits, self.recovery.terms)
        if kept is not None:
            pieces = torch.where(kept[..., None, None], pieces, PADDED)
        pieces = pieces.expand(shape)
        if weights is not None:
            factors = weights[..., None, None] if factors is None else factors * weights[..., None, None]
        return pieces, None if factors is None else factors.expand(shape)

    def _read_one_each(self, pieces: Tensor, factors: Tensor | None, feature: int | None) -> Tensor:
        if self.recovery.splits == 0:
            return pieces.new_zeros(pieces.shape[0], 0)
        last = 3 if self.recovery.terms == 1 else 2  # (B, F * S), or (B, F * S, K)
        flat = None if factors is None else factors.flatten(1, last).contiguous()
        return self.read(pieces.flatten(1, last).contiguous(), None, flat, feature)

    def pooled_pieces(
        self, ids: Tensor, feature_of_id: Tensor, tables: Tensor, offsets: Tensor, weights: Tensor | None
    ) -> Tensor:
        """Bags whose pieces are pooled by the lookup."""
        recovery, num_features = self.recovery, len(self.recovery.rows)
        pieces, factors = recovery.translate(ids, tables)
        padding = recovery.features[:, _PADDING]
        kept = ids != padding.index_select(0, feature_of_id) if _may_pad(recovery.rows) else None
        if recovery.terms > 1 and any(row.mode == Mode.MEAN for row in recovery.rows):
            takes_mean = recovery.features[:, _MODE] == Mode.MEAN
            counts = torch.ones_like(ids, dtype=torch.bool) if kept is None else kept
            weights = _shares_of_mean(counts, offsets, takes_mean.index_select(0, feature_of_id))
        pieces, factors = self._masked(pieces, factors, kept, weights)
        by_piece = _by_piece(pieces, offsets, feature_of_id, num_features)
        flat = None if factors is None else _by_piece(factors, offsets, feature_of_id, num_features)
        own = _offsets_by_piece(offsets, num_features, recovery.splits) * recovery.terms
        return recovery.combine(self.read(by_piece, own, flat, None), None, recovery.table_numbers)

    def pooled_rows(self, ids: Tensor, offsets: Tensor, weights: Tensor | None) -> Tensor:
        """Bags whose rows are recovered first, feature by feature."""
        samples = (offsets.shape[0] - 1) // len(self.recovery.rows)
        columns = []
        for f, row in enumerate(self.recovery.rows):
            own = offsets[f * samples : (f + 1) * samples + 1]
            first, last = own[:1].tolist() + own[-1:].tolist()
            chosen = ids[first:last]
            of_rows = None if weights is None else weights[first:last]
            rows = self.rows_of(chosen, f)
            columns.append(_pool(rows, chosen != row.padding, own - first, of_rows, row.mode))
        return torch.cat(columns, dim=1)


def _may_pad(rows: Sequence[FeatureLayout]) -> bool:
    return any(row.padding >= 0 for row in rows)


def _weigh(out: Tensor, kept: Tensor | None, weights: Tensor | None, rows: Sequence[FeatureLayout]) -> Tensor:
    """Rows that do not count are zero, the others multiplied by their weight."""
    if kept is None and weights is None:
        return out
    widths = torch.tensor([row.dim for row in rows], device=out.device)
    if kept is not None:
        out = out.masked_fill(~kept.repeat_interleave(widths, 1, output_size=out.shape[1]), 0)
    return out if weights is None else out * weights.repeat_interleave(widths, 1, output_size=out.shape[1])


def _shares_of_mean(kept: Tensor, offsets: Tensor, takes_mean: Tensor) -> Tensor:
    """1 / the ids that count of each id's bag, where its feature takes the mean; else 1. (Means take no weights.)"""
    bag_of_id = torch.repeat_interleave(offsets.diff(), output_size=kept.shape[0])
    counts = kept.new_zeros(offsets.shape[0] - 1, dtype=torch.float64).index_add_(0, bag_of_id, kept.double())
    return torch.where(takes_mean, 1 / counts.clamp(min=1).index_select(0, bag_of_id), 1)


def _by_piece(pieces: Tensor, offsets: Tensor, feature_of_id: Tensor, num_features: int) -> Tensor:
    """(N, S, K) -> (N * S * K,), feature by feature, piece by piece, id by id, with the terms of a piece together."""
    samples, splits = (offsets.shape[0] - 1) // num_features, pieces.shape[1]
    if splits == 1 or samples == 0:
        return pieces.reshape(-1)
    bounds = offsets[::samples]
    if pieces.device.type == "cpu" and is_plain(pieces, offsets):
        return torch.cat([pieces[first:last].transpose(0, 1).reshape(-1) for first, last in pairwise(bounds.tolist())])
    # The same in tensors alone: nobody waits for a device, and it can be compiled.
    ahead = (bounds[:-1] * (splits - 1)).index_select(0, feature_of_id)
    place = ahead + torch.arange(feature_of_id.shape[0], device=offsets.device)
    size = bounds.diff().index_select(0, feature_of_id)
    places = place[:, None] + size[:, None] * torch.arange(splits, device=offsets.device)
    flat = pieces.reshape(-1, pieces.shape[-1])
    return torch.empty_like(flat).index_copy(0, places.flatten(), flat).flatten()


def _offsets_by_piece(offsets: Tensor, num_features: int, splits: int) -> Tensor:
    """The offsets of F * S features, each of F repeated S times."""
    if splits == 1:
        return offsets
    lengths = offsets.diff().view(num_features, 1, -1).expand(-1, splits, -1).reshape(-1)
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])


def _pool(rows: Tensor, kept: Tensor, offsets: Tensor, weights: Tensor | None, mode: int) -> Tensor:
    """Rows of one feature's bags, pooled: (n, D), (n,), (B+1,) -> (B, D)."""
    number, dim = rows.shape
    layout = FeatureLayout(
        rule=Rule.DIRECT,
        num_embeddings=number,
        padding=PADDED,
        dim=dim,
        column=0,
        mode=mode,
        base=0,
        span=(number + 1) * dim,
        chunk=dim,
        align=dim,
        places=number + 1,
        sign=0,
    )
    memory = torch.cat([rows, rows.new_zeros(1, dim)])  # a memory is never empty
    ids = torch.where(kept, torch.arange(number, device=rows.device), PADDED)
    return ops.lookup(memory, ids, offsets, weights, to_tensor([layout]).to(rows.device), dim)
