"""DLRM-DCNv2, MLPerf Training's model since v3.0: DLRM with low-rank cross layers (arXiv 2008.13535) for the dots.

dense (B, n) -> bottom MLP -> (B, D) --+
                                       +-> cat (B, (F+1) D) -> cross layers -> top MLP -> logit (B,)
ids          -> embeddings -> (B, F, D)+
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .checks import check_dense, check_num_dense, check_widths, rows_of, shape_of
from .cross import CrossLayers
from .mlp import mlp


class DLRMDCNv2(nn.Module):
    """A click model over dense columns and embeddings of categorical ones; returns logits.

    Arguments:
        embeddings: any module with attributes `num_features` (F) and `embedding_dim` (D); `embeddings(ids)` must give
            (B, F, D), or a `KeyedTensor` of it. `ids` is passed through as it is.
        num_dense: n, the dense columns. With 0 the bottom MLP is fed nothing and gives one learned vector.
        bottom: hidden widths of the bottom MLP; a layer of width D follows, and every layer ends with a ReLU.
        top: hidden widths of the top MLP; a linear layer of width 1 follows.
        cross_layers: how many; see `CrossLayers`.
        rank: of the cross layers' matrices; None keeps them full.

    The defaults are MLPerf's, for which D is 128.
    Raises UsageError for a width or a number below 1, or embeddings without the two attributes.
    """

    def __init__(
        self,
        embeddings: nn.Module,
        num_dense: int = 13,
        bottom: Sequence[int] = (512, 256),
        top: Sequence[int] = (1024, 1024, 512, 256),
        cross_layers: int = 3,
        rank: int | None = 512,
    ) -> None:
        super().__init__()
        num_features, embedding_dim = shape_of(embeddings)
        check_num_dense(num_dense)
        check_widths("bottom", bottom)
        check_widths("top", top)
        width = (num_features + 1) * embedding_dim
        self.num_dense = num_dense
        self.embeddings = embeddings
        self.bottom = mlp([num_dense, *bottom, embedding_dim], last_linear=False)
        self.cross = CrossLayers(width, cross_layers, rank)
        self.top = mlp([width, *top, 1], last_linear=True)

    def forward(self, dense: Tensor, ids: Any) -> Tensor:
        """dense (B, n) float and ids (whatever the embeddings take, often (B, F) int64) -> logits (B,)."""
        check_dense(dense, self.num_dense)
        vectors = torch.cat([self.bottom(dense), rows_of(self.embeddings, ids).flatten(1)], dim=1)
        logits: Tensor = self.top(self.cross(vectors))
        return logits.squeeze(1)
