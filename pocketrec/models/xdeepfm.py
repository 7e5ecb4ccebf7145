"""xDeepFM (arXiv 1803.05170): a linear term, a compressed interaction network (CIN) and an MLP, added up.

                                        +-> CIN -> linear ----------------------+
ids          -> embeddings -> (B, F, D)-+                                       |
                                        +-> cat (B, F D + n) -> MLP ------------+-> logit (B,)
dense (B, n) ------------------------+--+                                       |
                                     +-> linear term (and the ids', if given) --+
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pocketrec.errors import UsageError

from .checks import check_dense, check_dropout, check_widths, rows_of, shape_of
from .first_order import FirstOrder
from .mlp import GlorotLinear, mlp


class CIN(nn.Module):
    """Compressed interaction network: (B, F, D) -> (B, `num_outputs`).

    Map n of layer k is, in each of the D columns, sum over h, f of W[n, h, f] * x_(k-1)[h] * x_0[f], plus a bias, then
    a ReLU unless `relu` is False; x_0 are the F vectors. Every layer's maps, summed over D, are outputs, and they are
    the next layer's x. With `split_half` the first half of a layer's maps is only the next layer's x and the second
    half only an output; the last layer's are all outputs.

    Raises UsageError for no layers, a size below 1, or an odd one that should be split.
    """

    def __init__(self, num_features: int, sizes: Sequence[int], *, split_half: bool = True, relu: bool = True) -> None:
        super().__init__()
        check_widths("cin", sizes)
        if not sizes:
            raise UsageError("cin: needs at least one layer, got ()")
        if split_half and any(size % 2 for size in sizes[:-1]):
            raise UsageError(f"cin: with split_half all sizes but the last must be even, got {tuple(sizes)}")
        self.split_half, self.relu = split_half, relu
        passed = [size // 2 if split_half else size for size in sizes[:-1]]
        inputs = [num_features, *passed]
        self.layers = nn.ModuleList(GlorotLinear(i * num_features, n) for i, n in zip(inputs, sizes, strict=True))
        self.num_outputs = sum(passed) + sizes[-1]

    def forward(self, vectors: Tensor) -> Tensor:
        base = hidden = vectors.transpose(1, 2)
        outputs = []
        for number, layer in enumerate(self.layers, 1):
            products = hidden.unsqueeze(3) * base.unsqueeze(2)
            maps = layer(products.flatten(2))
            maps = maps.relu() if self.relu else maps
            hidden, shown = maps.chunk(2, dim=2) if self.split_half and number < len(self.layers) else (maps, maps)
            outputs.append(shown.sum(1))
        return torch.cat(outputs, dim=1)


class XDeepFM(nn.Module):
    """A click model over dense columns and embeddings of categorical ones; returns logits.

    Arguments:
        embeddings: any module with attributes `num_features` (F) and `embedding_dim` (D); `embeddings(ids)` must give
            (B, F, D), or a `KeyedTensor` of it. `ids` is passed through as it is.
        num_dense: n, the dense columns: they enter the linear term and the MLP.
        hidden: hidden widths of the MLP; a linear layer of width 1 follows.
        dropout: after each hidden layer.
        cin, split_half, relu: of the `CIN`: maps of each layer, and how they are passed on.
        first_order: a linear weight for every id: embeddings of the same features with D = 1. With None the linear
            term has the dense columns alone. See `FirstOrder`.

    The defaults are those of the ROBE paper's evaluation on Criteo Kaggle, for which D is 16. (There the loss has 1e-4
    times the squares of the embeddings and of the linear term's and MLP's weights as well.)
    Raises UsageError for a width below 1, a dropout outside [0, 1), or embeddings of another shape.
    """

    def __init__(
        self,
        embeddings: nn.Module,
        num_dense: int = 13,
        hidden: Sequence[int] = (400, 400, 400),
        dropout: float = 0.5,
        cin: Sequence[int] = (200, 200, 200),
        *,
        split_half: bool = True,
        relu: bool = True,
        first_order: nn.Module | None = None,
    ) -> None:
        super().__init__()
        num_features, embedding_dim = shape_of(embeddings)
        check_widths("hidden", hidden)
        check_dropout(dropout)
        self.num_dense = num_dense
        self.embeddings = embeddings
        self.first_order = FirstOrder(num_dense, num_features, first_order)
        self.cin = CIN(num_features, cin, split_half=split_half, relu=relu)
        self.cin_top = GlorotLinear(self.cin.num_outputs, 1, bias=False)
        self.deep = mlp([num_features * embedding_dim + num_dense, *hidden, 1], last_linear=True, dropout=dropout)

    def forward(self, dense: Tensor, ids: Any) -> Tensor:
        """dense (B, n) float and ids (whatever the embeddings take, often (B, F) int64) -> logits (B,)."""
        check_dense(dense, self.num_dense)
        vectors = rows_of(self.embeddings, ids)
        deep: Tensor = self.deep(torch.cat([vectors.flatten(1), dense], dim=1))
        return (deep + self.cin_top(self.cin(vectors))).squeeze(1) + self.first_order(dense, ids)
