"""DeepFM (arXiv 1703.04247): a linear term, a factorization machine and an MLP over the same embeddings.

                                        +-> every pair's inner product, summed --+
ids          -> embeddings -> (B, F, D)-+                                        |
                                        +-> cat (B, F D + n) -> MLP -------------+-> logit (B,)
dense (B, n) ------------------------+--+                                        |
                                     +-> linear term (and the ids', if given) ---+
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .checks import check_dense, check_dropout, check_widths, rows_of, shape_of
from .first_order import FirstOrder
from .mlp import mlp


class DeepFM(nn.Module):
    """A click model over dense columns and embeddings of categorical ones; returns logits.

    Arguments:
        embeddings: any module with attributes `num_features` (F) and `embedding_dim` (D); `embeddings(ids)` must give
            (B, F, D), or a `KeyedTensor` of it. `ids` is passed through as it is.
        num_dense: n, the dense columns: they enter the linear term and the MLP.
        hidden: hidden widths of the MLP; a linear layer of width 1 follows.
        dropout: after each hidden layer.
        first_order: a linear weight for every id: embeddings of the same features with D = 1. With None the linear
            term has the dense columns alone. See `FirstOrder`.

    The defaults are those of the ROBE paper's evaluation on Criteo Kaggle, for which D is 16.
    Raises UsageError for a width below 1, a dropout outside [0, 1), or embeddings of another shape.
    """

    def __init__(
        self,
        embeddings: nn.Module,
        num_dense: int = 13,
        hidden: Sequence[int] = (400, 400, 400),
        dropout: float = 0.5,
        *,
        first_order: nn.Module | None = None,
    ) -> None:
        super().__init__()
        num_features, embedding_dim = shape_of(embeddings)
        check_widths("hidden", hidden)
        check_dropout(dropout)
        self.num_dense = num_dense
        self.embeddings = embeddings
        self.first_order = FirstOrder(num_dense, num_features, first_order)
        self.deep = mlp([num_features * embedding_dim + num_dense, *hidden, 1], last_linear=True, dropout=dropout)

    def forward(self, dense: Tensor, ids: Any) -> Tensor:
        """dense (B, n) float and ids (whatever the embeddings take, often (B, F) int64) -> logits (B,)."""
        check_dense(dense, self.num_dense)
        vectors = rows_of(self.embeddings, ids)
        deep: Tensor = self.deep(torch.cat([vectors.flatten(1), dense], dim=1))
        return deep.squeeze(1) + factorization_machine(vectors) + self.first_order(dense, ids)


def factorization_machine(vectors: Tensor) -> Tensor:
    """(B, F, D) -> (B,): the sum of <v_i, v_j> over all pairs i < j, as (|sum v|^2 - sum |v|^2) / 2."""
    return (vectors.sum(1).square().sum(1) - vectors.square().sum((1, 2))) / 2
