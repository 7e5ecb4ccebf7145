"""AutoInt (arXiv 1810.11921): self-attention between the features' embeddings, and an MLP beside it (AutoInt+).

ids          -> embeddings -> (B, F, D)-+-> attention layers -> (B, F H A) -+
                                        |                                   +-> cat -> linear -+
                                        +-> cat (B, F D + n) -> MLP --------+                  +-> logit (B,)
dense (B, n) ------------------------+--+                                                      |
                                     +-> linear term (and the ids', if given) -----------------+
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from pocketrec.errors import whole_number

from .checks import check_dense, check_dropout, check_widths, rows_of, shape_of
from .first_order import FirstOrder
from .mlp import DLRMLinear, GlorotLinear, mlp


class InteractingLayer(nn.Module):
    """Multi-head self-attention between features: (B, F, `width`) -> (B, F, H A).

    Head h of feature m is sum over k of softmax_k(<Q_h e_m, K_h e_k>) V_h e_k; unlike a transformer's, the inner
    products are not divided by sqrt(A). The output is ReLU(heads side by side + R e_m), R being a learned residual.
    """

    def __init__(self, width: int, num_heads: int, head_dim: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query, self.key, self.value, self.residual = (
            GlorotLinear(width, num_heads * head_dim, bias=False) for _ in range(4)
        )

    def forward(self, vectors: Tensor) -> Tensor:
        query, key, value = (
            project(vectors).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        heads = scaled_dot_product_attention(query, key, value, scale=1.0)
        return (heads.transpose(1, 2).flatten(2) + self.residual(vectors)).relu()


class AutoInt(nn.Module):
    """A click model over dense columns and embeddings of categorical ones; returns logits.

    Arguments:
        embeddings: any module with attributes `num_features` (F) and `embedding_dim` (D); `embeddings(ids)` must give
            (B, F, D), or a `KeyedTensor` of it. `ids` is passed through as it is.
        num_dense: n, the dense columns: they enter the linear term and the MLP. (In the paper each has an embedding,
            scaled by its value, and attends as well.)
        hidden: widths of the MLP; with none there is only attention.
        dropout: after each layer of the MLP.
        attention_layers, num_heads (H), head_dim (A): of the `InteractingLayer`s.
        first_order: a linear weight for every id: embeddings of the same features with D = 1. With None the linear
            term has the dense columns alone. The paper has none; the ROBE paper's evaluation has. See `FirstOrder`.

    The defaults are those of the ROBE paper's evaluation on Criteo Kaggle, for which D is 16.
    Raises UsageError for a width or a number below 1, a dropout outside [0, 1), or embeddings of another shape.
    """

    def __init__(
        self,
        embeddings: nn.Module,
        num_dense: int = 13,
        hidden: Sequence[int] = (400, 400, 400),
        dropout: float = 0.0,
        attention_layers: int = 3,
        num_heads: int = 2,
        head_dim: int = 32,
        *,
        first_order: nn.Module | None = None,
    ) -> None:
        super().__init__()
        num_features, embedding_dim = shape_of(embeddings)
        check_widths("hidden", hidden)
        check_dropout(dropout)
        for name, number in (("attention_layers", attention_layers), ("num_heads", num_heads), ("head_dim", head_dim)):
            whole_number(name, number, at_least=1)
        self.num_dense = num_dense
        self.embeddings = embeddings
        self.first_order = FirstOrder(num_dense, num_features, first_order)
        widths = [embedding_dim] + [num_heads * head_dim] * attention_layers
        self.attention = nn.Sequential(*(InteractingLayer(width, num_heads, head_dim) for width in widths[:-1]))
        inputs = [num_features * embedding_dim + num_dense, *hidden]
        self.deep = mlp(inputs, last_linear=False, dropout=dropout) if hidden else None
        self.top = DLRMLinear(num_features * widths[-1] + (hidden[-1] if hidden else 0), 1)

    def forward(self, dense: Tensor, ids: Any) -> Tensor:
        """dense (B, n) float and ids (whatever the embeddings take, often (B, F) int64) -> logits (B,)."""
        check_dense(dense, self.num_dense)
        vectors = rows_of(self.embeddings, ids)
        outputs = self.attention(vectors).flatten(1)
        if self.deep is not None:
            outputs = torch.cat([outputs, self.deep(torch.cat([vectors.flatten(1), dense], dim=1))], dim=1)
        top: Tensor = self.top(outputs)
        return top.squeeze(1) + self.first_order(dense, ids)
