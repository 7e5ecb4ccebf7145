"""FiBiNET (arXiv 1905.09433): bilinear products of all pairs, of the embeddings and of the embeddings reweighted.

                                       +-> SENET -> bilinear --+
ids          -> embeddings -> (B, F, D)+                       +-> cat -> MLP --------------+
                                       +------------ bilinear -+                            +-> logit (B,)
dense (B, n) -------------------------------------+------------+                            |
                                                  +-> linear term (and the ids', if given) -+
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pocketrec.errors import UsageError, one_of, whole_number

from .checks import check_dense, check_dropout, check_widths, rows_of, shape_of
from .first_order import FirstOrder
from .mlp import GlorotLinear, mlp

BILINEAR = ("all", "each", "interaction")


class Bilinear(nn.Module):
    """(B, F, D) -> (B, F*(F-1)/2, D): (W v_i) * v_j for every pair i < j, in the order (0,1), (0,2), ..., (1,2), ...

    W is one matrix for `all` pairs, one for `each` left feature i, or one for every pair (`interaction`).
    """

    left: Tensor
    right: Tensor

    def __init__(self, num_features: int, embedding_dim: int, kind: str) -> None:
        super().__init__()
        left, right = torch.triu_indices(num_features, num_features, offset=1)
        self.kind, self.num_pairs = kind, len(left)
        matrices = {"all": 1, "each": num_features - 1, "interaction": len(left)}[kind]
        self.weight = nn.Parameter(torch.randn(matrices, embedding_dim, embedding_dim) * embedding_dim**-0.5)
        self.register_buffer("left", left, persistent=False)
        self.register_buffer("right", right, persistent=False)

    def forward(self, vectors: Tensor) -> Tensor:
        right = vectors.index_select(1, self.right)
        if self.kind == "interaction":
            return torch.einsum("bpd,ped->bpe", vectors.index_select(1, self.left), self.weight) * right
        turned = torch.einsum("bfd,fed->bfe", vectors[:, :-1], self.weight.expand(vectors.shape[1] - 1, -1, -1))
        return turned.index_select(1, self.left) * right


class FiBiNET(nn.Module):
    """A click model over dense columns and embeddings of categorical ones; returns logits.

    Arguments:
        embeddings: any module with attributes `num_features` (F, at least 2) and `embedding_dim` (D);
            `embeddings(ids)` must give (B, F, D). `ids` is passed through as it is.
        num_dense: n, the dense columns: they enter the linear term and the MLP.
        hidden: hidden widths of the MLP; a linear layer of width 1 follows.
        dropout: after each hidden layer.
        bilinear: `all`, `each` or `interaction`; see `Bilinear`. The same matrices serve both its places.
        reduction: SENET's hidden width is F // reduction, at least 1.
        first_order: a linear weight for every id: embeddings of the same features with D = 1. With None the linear
            term has the dense columns alone. See `FirstOrder`.

    SENET multiplies each feature's embedding by ReLU(W_2 ReLU(W_1 z)), z being the means of the F embeddings.
    The defaults are those of the ROBE paper's evaluation on Criteo Kaggle, for which D is 16.
    Raises UsageError for a width below 1, a dropout outside [0, 1), another word for `bilinear`, or embeddings of
    another shape.
    """

    def __init__(
        self,
        embeddings: nn.Module,
        num_dense: int = 13,
        hidden: Sequence[int] = (400, 400, 400),
        dropout: float = 0.5,
        bilinear: str = "interaction",
        reduction: int = 3,
        *,
        first_order: nn.Module | None = None,
    ) -> None:
        super().__init__()
        num_features, embedding_dim = shape_of(embeddings)
        if num_features < 2:
            raise UsageError(f"embeddings: FiBiNET takes pairs of features, so at least 2 of them, got {num_features}")
        one_of("bilinear", bilinear, BILINEAR)
        check_widths("hidden", hidden)
        check_dropout(dropout)
        squeezed = max(num_features // whole_number("reduction", reduction, at_least=1), 1)
        self.num_dense = num_dense
        self.embeddings = embeddings
        self.first_order = FirstOrder(num_dense, num_features, first_order)
        self.senet = nn.Sequential(
            GlorotLinear(num_features, squeezed, bias=False),
            nn.ReLU(),
            GlorotLinear(squeezed, num_features, bias=False),
            nn.ReLU(),
        )
        self.bilinear = Bilinear(num_features, embedding_dim, bilinear)
        inputs = 2 * self.bilinear.num_pairs * embedding_dim + num_dense
        self.deep = mlp([inputs, *hidden, 1], last_linear=True, dropout=dropout)

    def forward(self, dense: Tensor, ids: Any) -> Tensor:
        """dense (B, n) float and ids (whatever the embeddings take, often (B, F) int64) -> logits (B,)."""
        check_dense(dense, self.num_dense)
        vectors = rows_of(self.embeddings, ids)
        reweighted = vectors * self.senet(vectors.mean(2)).unsqueeze(2)
        pairs = [self.bilinear(reweighted).flatten(1), self.bilinear(vectors).flatten(1)]
        deep: Tensor = self.deep(torch.cat([*pairs, dense], dim=1))
        return deep.squeeze(1) + self.first_order(dense, ids)
