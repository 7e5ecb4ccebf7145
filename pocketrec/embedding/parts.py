"""Parts: which parameter serves which features. One for a scheme with a budget; full tables have one for each width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pocketrec.ops import FeatureLayout, Mode
from pocketrec.sharing import PADDED, Budget, Recovery, Scheme, Table


@dataclass(frozen=True)
class Part:
    """A parameter, the features it serves, and where their rows lie in it."""

    parameter: str
    layout: str
    """Name of the layout buffer."""
    shape: tuple[int, ...]
    """Of the parameter: (M,), or (rows, D) where gradients are row-sparse."""
    features: tuple[int, ...]
    rows: tuple[FeatureLayout, ...]
    """One a feature, or as many as a row has pieces; columns count from the part's first."""
    width: int
    """Columns of the part's output."""
    names: str
    """Of the features, one a line: what the op shows in its errors."""

    def only(self, feature: int) -> Part:
        """The part of one feature."""
        pieces = len(self.rows) // len(self.features)
        rows = self.rows[feature * pieces : (feature + 1) * pieces]
        return _part(self.parameter, self.layout, self.shape, [feature], rows, [""] * (feature + 1))


def make_parts(
    tables: Sequence[Table], sharing: Scheme, budget: Budget, seed: int
) -> tuple[tuple[Part, ...], Recovery | None]:
    """Place the tables: all in one memory, or, with row-sparse gradients, those of each width in a matrix."""
    table_of_feature = [i for i, t in enumerate(tables) for _ in t.features]
    names = [name for t in tables for name in t.features]
    if not sharing.row_sparse:
        placed = sharing.place(tables, budget, seed)
        rows = [_of_piece(piece, placed.recovery) for t in table_of_feature for piece in placed.pieces[t]]
        if not rows:
            return (), placed.recovery
        features = range(len(table_of_feature))
        return (_part("memory", "layout", (placed.slots,), features, rows, names),), placed.recovery
    parts = []
    for dim in sorted({t.embedding_dim for t in tables}):
        own = [i for i, t in enumerate(tables) if t.embedding_dim == dim]
        placed = sharing.place([tables[i] for i in own], budget, seed)
        features_of = [f for f, t in enumerate(table_of_feature) if t in own]
        rows = [piece for f in features_of for piece in placed.pieces[own.index(table_of_feature[f])]]
        parts.append(_part(f"full_d{dim}", f"layout_d{dim}", (placed.slots // dim, dim), features_of, rows, names))
    return tuple(parts), None


def _of_piece(piece: FeatureLayout, recovery: Recovery | None) -> FeatureLayout:
    """Padding is known before ids become those of pieces; terms of a mean are summed: they are more than its ids."""
    if recovery is None:
        return piece
    return piece._replace(padding=PADDED, mode=piece.mode if recovery.terms == 1 else Mode.SUM)


def _part(
    parameter: str,
    layout: str,
    shape: tuple[int, ...],
    features: Sequence[int],
    placed: Sequence[FeatureLayout],
    names: Sequence[str],
) -> Part:
    column, rows = 0, []
    for row in placed:
        rows.append(row._replace(column=column))
        column += row.dim
    own_names = "\n".join(names[f] for f in features)
    return Part(parameter, layout, shape, tuple(features), tuple(rows), column, own_names)


def choose_features(
    features: Sequence[int], num_features: int, indices: Tensor, offsets: Tensor | None, weights: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The ids, offsets and weights of some of the features, in the form they came in."""
    if offsets is None:
        wanted = torch.tensor(features, device=indices.device)
        own = None if weights is None else weights.index_select(1, wanted)
        return indices.index_select(1, wanted), None, own
    samples = (offsets.numel() - 1) // num_features
    bounds = offsets[::samples].tolist() if samples else [0] * (num_features + 1)
    ids = torch.cat([indices[bounds[f] : bounds[f + 1]] for f in features])
    own = None if weights is None else torch.cat([weights[bounds[f] : bounds[f + 1]] for f in features])
    lengths = torch.cat([offsets[f * samples : (f + 1) * samples + 1].diff() for f in features])
    return ids, torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]), own
