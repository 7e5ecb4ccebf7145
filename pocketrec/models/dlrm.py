"""DLRM (arXiv 1906.00091) as in MLPerf Training v1: bottom MLP, embeddings, dot interaction, top MLP.

dense (B, n) -> bottom MLP -> (B, D) --+--------------------------+
                                       +-> dot interaction -> cat -> top MLP -> logit (B,)
ids          -> embeddings -> (B, F, D)+
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from pocketrec.errors import one_of

from .checks import check_dense, check_num_dense, check_widths, rows_of, shape_of
from .interaction import DotInteraction
from .mlp import mlp


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Layer sizes of a published DLRM; the bottom MLP ends with one more layer, as wide as the embeddings."""

    embedding_dim: int
    """The published D. A model follows the D of the embeddings it is given."""
    bottom: tuple[int, ...]
    """Hidden widths of the bottom MLP."""
    top: tuple[int, ...]
    """Hidden widths of the top MLP, which ends with one more layer of width 1."""


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "kaggle": Preset(embedding_dim=16, bottom=(512, 256, 64), top=(512, 256)),
        "terabyte": Preset(embedding_dim=128, bottom=(512, 256), top=(1024, 1024, 512, 256)),
    }
)
"""`kaggle`: facebookresearch/dlrm's Criteo Kaggle model. `terabyte`: MLPerf Training v1's."""


class DLRM(nn.Module):
    """A click model over dense columns and embeddings of categorical ones; returns logits.

    Arguments:
        embeddings: any module with attributes `num_features` (F) and `embedding_dim` (D); `embeddings(ids)` must give
            (B, F, D), or a `KeyedTensor` of it. `ids` is passed through as it is.
        num_dense: n, the dense columns. With 0 the bottom MLP is fed nothing and gives one learned vector.
        bottom: hidden widths of the bottom MLP; a layer of width D follows, and every layer ends with a ReLU.
        top: hidden widths of the top MLP; a linear layer of width 1 follows.

    Weights are drawn from torch's global generator, as in facebookresearch/dlrm.
    Raises UsageError for a width below 1 or embeddings without the two attributes.
    """

    def __init__(
        self,
        embeddings: nn.Module,
        num_dense: int = 13,
        bottom: Sequence[int] = (512, 256, 64),
        top: Sequence[int] = (512, 256),
    ) -> None:
        super().__init__()
        num_features, embedding_dim = shape_of(embeddings)
        check_num_dense(num_dense)
        check_widths("bottom", bottom)
        check_widths("top", top)
        self.num_dense = num_dense
        self.embeddings = embeddings
        self.bottom = mlp([num_dense, *bottom, embedding_dim], last_linear=False)
        self.interaction = DotInteraction(num_features + 1)
        self.top = mlp([embedding_dim + self.interaction.num_pairs, *top, 1], last_linear=True)

    @classmethod
    def from_preset(cls, name: str, embeddings: nn.Module, num_dense: int = 13) -> DLRM:
        """A DLRM of the layer sizes in `PRESETS[name]`, whose last bottom layer is as wide as `embeddings`.

        Raises UsageError for an unknown name.
        """
        preset = PRESETS[one_of("preset", name, PRESETS)]
        return cls(embeddings, num_dense, preset.bottom, preset.top)

    def forward(self, dense: Tensor, ids: Any) -> Tensor:
        """dense (B, n) float and ids (whatever the embeddings take, often (B, F) int64) -> logits (B,)."""
        check_dense(dense, self.num_dense)
        bottom = self.bottom(dense)
        vectors = torch.cat([bottom.unsqueeze(1), rows_of(self.embeddings, ids)], dim=1)
        logits: Tensor = self.top(torch.cat([bottom, self.interaction(vectors)], dim=1))
        return logits.squeeze(1)
