"""DCN-v2 (arXiv 2008.13535), its parallel form: cross layers and an MLP side by side over the same inputs.

ids          -> embeddings -> (B, F D) --+           +-> cross layers --+
                                         +-> cat x_0-+                  +-> cat -> linear -> logit (B,)
dense (B, n) ----------------------------+           +-> MLP -----------+
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .checks import check_dense, check_dropout, check_num_dense, check_widths, rows_of, shape_of
from .cross import CrossLayers
from .first_order import FirstOrder
from .mlp import DLRMLinear, mlp


class DCNv2(nn.Module):
    """A click model over dense columns and embeddings of categorical ones; returns logits.

    Arguments:
        embeddings: any module with attributes `num_features` (F) and `embedding_dim` (D); `embeddings(ids)` must give
            (B, F, D), or a `KeyedTensor` of it. `ids` is passed through as it is.
        num_dense: n, the dense columns, a part of x_0.
        hidden: widths of the MLP; with none there are the cross layers alone.
        dropout: after each layer of the MLP.
        cross_layers: how many; see `CrossLayers`.
        rank: of the cross layers' matrices; None keeps them full.
        first_order: a linear weight for every id: embeddings of the same features with D = 1. They bring a linear term
            with the dense columns too. The paper has none; the ROBE paper's evaluation has. See `FirstOrder`.

    The defaults are those of the ROBE paper's evaluation on Criteo Kaggle, for which D is 16. (Its one cross layer is
    that of the first DCN, which has a vector for W.)
    Raises UsageError for a width or a number below 1, a dropout outside [0, 1), or embeddings of another shape.
    """

    def __init__(
        self,
        embeddings: nn.Module,
        num_dense: int = 13,
        hidden: Sequence[int] = (1024, 1024, 1024, 1024),
        dropout: float = 0.0,
        cross_layers: int = 1,
        rank: int | None = None,
        *,
        first_order: nn.Module | None = None,
    ) -> None:
        super().__init__()
        num_features, embedding_dim = shape_of(embeddings)
        check_num_dense(num_dense)
        check_widths("hidden", hidden)
        check_dropout(dropout)
        self.num_dense = num_dense
        self.embeddings = embeddings
        self.first_order = None if first_order is None else FirstOrder(num_dense, num_features, first_order)
        width = num_features * embedding_dim + num_dense
        self.cross = CrossLayers(width, cross_layers, rank)
        self.deep = mlp([width, *hidden], last_linear=False, dropout=dropout) if hidden else None
        self.top = DLRMLinear(width + (hidden[-1] if hidden else 0), 1)

    def forward(self, dense: Tensor, ids: Any) -> Tensor:
        """dense (B, n) float and ids (whatever the embeddings take, often (B, F) int64) -> logits (B,)."""
        check_dense(dense, self.num_dense)
        inputs = torch.cat([rows_of(self.embeddings, ids).flatten(1), dense], dim=1)
        crossed = self.cross(inputs)
        top: Tensor = self.top(crossed if self.deep is None else torch.cat([crossed, self.deep(inputs)], dim=1))
        logits = top.squeeze(1)
        return logits if self.first_order is None else logits + self.first_order(dense, ids)
