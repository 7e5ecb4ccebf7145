"""Multi-layer perceptrons, initialised as facebookresearch/dlrm does, and the layer that interactions are made of."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import nn


class DLRMLinear(nn.Linear):
    """A linear layer drawn as DLRM's: weights ~ Normal(0, sqrt(2/(inputs+outputs))), bias ~ Normal(0, sqrt(1/outputs)).

    The second argument of Normal is the standard deviation.
    """

    def reset_parameters(self) -> None:
        with torch.no_grad():
            self.weight.normal_(0.0, math.sqrt(2.0 / (self.in_features + self.out_features)))
            self.bias.normal_(0.0, math.sqrt(1.0 / self.out_features))


class GlorotLinear(nn.Linear):
    """A linear layer with weights ~ Normal(0, sqrt(2/(inputs+outputs))), as DLRM's, and a bias that starts at 0."""

    def reset_parameters(self) -> None:
        with torch.no_grad():
            self.weight.normal_(0.0, math.sqrt(2.0 / (self.in_features + self.out_features)))
            if self.bias is not None:
                self.bias.zero_()


def mlp(widths: Sequence[int], *, last_linear: bool, dropout: float = 0.0) -> nn.Sequential:
    """Linear layers of `widths` (inputs first), a ReLU after each, the last one too unless `last_linear`.

    With `dropout`, each ReLU is followed by it; the names in `state_dict` are the same with and without.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [DLRMLinear(inputs, outputs), nn.Sequential(nn.ReLU(), nn.Dropout(dropout)) if dropout else nn.ReLU()]
    return nn.Sequential(*(layers[:-1] if last_linear else layers))
