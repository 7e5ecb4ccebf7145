"""Cross layers of DCN-v2 (arXiv 2008.13535). Letters: B batch, N width, r rank."""

from __future__ import annotations

from torch import Tensor, nn

from pocketrec.errors import whole_number

from .mlp import GlorotLinear


class CrossLayers(nn.Module):
    """(B, N) -> (B, N), in which layer l is x <- x_0 * (W_l x + b_l) + x; x_0 is the input, * element by element.

    Arguments:
        width: N.
        num_layers: how many; the output holds products of up to one more of the inputs than that.
        rank: r; W_l is then U_l V_l, with U_l (N, r) and V_l (r, N). None keeps W_l a full (N, N) matrix.

    Raises UsageError for a number below 1.
    """

    def __init__(self, width: int, num_layers: int, rank: int | None = None) -> None:
        super().__init__()
        whole_number("cross_layers", num_layers, at_least=1)
        if rank is not None:
            whole_number("rank", rank, at_least=1)
        self.layers = nn.ModuleList(_weights(width, rank) for _ in range(num_layers))

    def forward(self, inputs: Tensor) -> Tensor:
        x = inputs
        for layer in self.layers:
            x = inputs * layer(x) + x
        return x


def _weights(width: int, rank: int | None) -> nn.Module:
    if rank is None:
        return GlorotLinear(width, width)
    return nn.Sequential(GlorotLinear(width, rank, bias=False), GlorotLinear(rank, width))
