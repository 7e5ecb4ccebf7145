"""The linear term of a click model: a weight for every dense column and, where they are given, one for every id."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pocketrec.errors import UsageError

from .checks import check_num_dense, rows_of, shape_of


class FirstOrder(nn.Module):
    """dense (B, n) and ids -> (B,): the dense columns weighted, and the sum of the ids' own weights.

    Arguments:
        num_dense: n.
        num_features: F.
        weights: embeddings of F features with D = 1, `weights(ids)` -> (B, F, 1), or None: then ids add nothing. They
            may read the memory that the model's embeddings read, as the ROBE paper's linear weights do.

    There is no bias (a ranker's last layer has one), and the dense weights start at 0.
    Raises UsageError for weights of other features or a width other than 1.
    """

    def __init__(self, num_dense: int, num_features: int, weights: nn.Module | None) -> None:
        super().__init__()
        check_num_dense(num_dense)
        if weights is not None and (shape := shape_of(weights, "first_order")) != (num_features, 1):
            raise UsageError(
                f"first_order: must have num_features {num_features} and embedding_dim 1, "
                f"got num_features {shape[0]} and embedding_dim {shape[1]}"
            )
        self.dense = nn.Parameter(torch.zeros(num_dense))
        self.ids = weights

    def forward(self, dense: Tensor, ids: Any) -> Tensor:
        out = dense @ self.dense
        return out if self.ids is None else out + rows_of(self.ids, ids).sum(dim=(1, 2))
