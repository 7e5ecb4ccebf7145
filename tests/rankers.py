"""Rankers small enough to compute by hand, over ordinary tables."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pocketrec.models import DLRM, AutoInt, DCNv2, DeepFM, DLRMDCNv2, FiBiNET, XDeepFM

ROWS = 7


class Tables(nn.Module):
    """F tables of `ROWS` rows, the plainest `embeddings` a model can be given."""

    def __init__(self, num_features: int, embedding_dim: int) -> None:
        super().__init__()
        self.num_features, self.embedding_dim = num_features, embedding_dim
        self.tables = nn.ModuleList(nn.Embedding(ROWS, embedding_dim) for _ in range(num_features))

    def forward(self, ids: Tensor) -> Tensor:
        return torch.stack([table(column) for table, column in zip(self.tables, ids.unbind(1), strict=True)], dim=1)


SMALL: dict[str, Callable[..., nn.Module]] = {
    "dlrm": lambda *a: DLRM(*a, bottom=(6,), top=(5,)),
    "dlrm-dcnv2": lambda *a: DLRMDCNv2(*a, bottom=(6,), top=(5,), cross_layers=2, rank=3),
    "dlrm-dcnv2 full": lambda *a: DLRMDCNv2(*a, bottom=(), top=(), cross_layers=1, rank=None),
    "deepfm": lambda *a, **k: DeepFM(*a, hidden=(6, 5), **k),
    "dcn-v2": lambda *a, **k: DCNv2(*a, hidden=(6, 5), dropout=0.3, cross_layers=3, **k),
    "dcn-v2 low rank": lambda *a, **k: DCNv2(*a, hidden=(), cross_layers=2, rank=2, **k),
    "xdeepfm": lambda *a, **k: XDeepFM(*a, hidden=(6, 5), cin=(4, 2, 3), **k),
    "xdeepfm whole": lambda *a, **k: XDeepFM(*a, hidden=(5,), cin=(3, 5), split_half=False, relu=False, **k),
    "autoint": lambda *a, **k: AutoInt(*a, hidden=(6, 5), dropout=0.3, attention_layers=2, head_dim=3, **k),
    "autoint alone": lambda *a, **k: AutoInt(*a, hidden=(), attention_layers=1, num_heads=3, head_dim=1, **k),
    "fibinet": lambda *a, **k: FiBiNET(*a, hidden=(6, 5), **k),
    "fibinet each": lambda *a, **k: FiBiNET(*a, hidden=(5,), bilinear="each", reduction=1, **k),
    "fibinet all": lambda *a, **k: FiBiNET(*a, hidden=(), bilinear="all", reduction=2, **k),
}
"""Every ranker and its variants: called with embeddings and num_dense."""

LINEAR = [name for name in SMALL if not name.startswith("dlrm")]
"""Those with a linear term."""


def small(
    name: str, num_features: int = 4, embedding_dim: int = 3, num_dense: int = 2, *, first_order: bool = False
) -> nn.Module:
    """A ranker of `SMALL` in float64 and evaluation mode, none of its parameters zero."""
    torch.manual_seed(0)
    weights = {"first_order": Tables(num_features, 1)} if first_order else {}
    model = SMALL[name](Tables(num_features, embedding_dim), num_dense, **weights).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.7)
    return model


def batch(size: int, num_features: int = 4, num_dense: int = 2) -> tuple[Tensor, Tensor]:
    """dense (B, n) and ids (B, F)."""
    return torch.randn(size, num_dense, dtype=torch.float64), torch.randint(ROWS, (size, num_features))
