"""Networks that make rows from hashes of ids: the part of `DeepHash` that learns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import mish, relu

from pocketrec import hashing, ops
from pocketrec.ops import FeatureLayout, Rule
from pocketrec.ops.checks import check_whole
from pocketrec.ops.layout import to_tensor
from pocketrec.sharing.recovery import Recovery
from pocketrec.sharing.table import Table

BUCKETS = 1 << 16
"""What a hash of an id is reduced to before it becomes a number in (-1, 1)."""
ACTIVATIONS = {"mish": (mish, 0.4523), "relu": (relu, 0.5)}
"""Each with the mean square of its value at a standard normal variable."""


class Networks(Recovery):
    """Tables of the same D have their networks stacked: one product a layer for all of them."""

    linear, combines, costly = False, True, True
    keys: Tensor
    deep: Tensor

    def __init__(
        self, tables: Sequence[Table], deep: Sequence[bool], shape: tuple[int, ...], keys: list[int], activation: str
    ) -> None:
        super().__init__()
        self.splits = 0 if all(deep) else 1
        self.keys_of, self.num_hashes = tuple(keys), shape[0]
        self.constant("keys", keys)
        self.constant("deep", [int(d) for d in deep])
        dims = [t.embedding_dim if d else 0 for t, d in zip(tables, deep, strict=True)]
        self.dims = tuple(dims)
        """Of the rows that a network makes; 0 for a table kept exactly."""
        self.widths = tuple(1 if d else t.embedding_dim for t, d in zip(tables, deep, strict=True))
        self.place_of = tuple(dims[:i].count(d) for i, d in enumerate(dims))
        """Of a table among those of its D."""
        stacks = {str(d): _Stack(dims.count(d), (*shape, d), activation) for d in sorted(set(dims) - {0})}
        self.networks = nn.ModuleDict(stacks)

    def translate(self, ids: Tensor, tables: Tensor) -> tuple[Tensor, Tensor | None]:
        return torch.where(self.deep[tables] > 0, 0, ids)[..., None, None], None

    def combine(self, pieces: Tensor, ids: Tensor | None, tables: Sequence[int]) -> Tensor:
        assert ids is not None
        columns = dict(enumerate(pieces.split([self.widths[t] for t in tables], 1))) if self.splits else {}
        for dim, stack in self.networks.items():
            assert isinstance(stack, _Stack)
            features = [f for f, t in enumerate(tables) if self.dims[t] == int(dim)]
            if features:
                own = [tables[f] for f in features]
                numbers = self._encode(ids[:, features], own, stack.dtype)
                columns |= zip(features, stack(numbers, [self.place_of[t] for t in own]).unbind(0), strict=True)
        return torch.cat([columns[f] for f in range(len(tables))], 1)

    def _encode(self, ids: Tensor, tables: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Ids (n, F) -> numbers (F, n, k): the one op, on a memory that holds the number of each bucket."""
        k = self.num_hashes
        memory = ((2 * torch.arange(BUCKETS, device=ids.device) + 1) / BUCKETS - 1).to(dtype)
        hashed = {"rule": Rule.MIXING, "num_embeddings": hashing.ID_LIMIT, "padding": -1, "mode": 0, "sign": 0}
        region = {"base": 0, "span": BUCKETS, "chunk": 1, "align": 1, "places": BUCKETS, "dim": k}
        rows = [FeatureLayout(**hashed, **region, column=f * k, place_0=self.keys_of[t]) for f, t in enumerate(tables)]
        encoded = ops.lookup(memory, ids.contiguous(), None, None, to_tensor(rows).to(ids.device), k * len(rows))
        return encoded.view(-1, len(rows), k).transpose(0, 1)

    @torch.no_grad()
    def reset(self, memory: Tensor | None, bound: float) -> None:
        super().reset(memory, bound)
        for stack in self.networks.values():
            assert isinstance(stack, _Stack)
            stack.draw(bound)


class _Stack(nn.Module):
    """`count` networks of the same shape: numbers (F, n, k) and the network of each F -> rows (F, n, D)."""

    def __init__(self, count: int, shape: tuple[int, ...], activation: str) -> None:
        super().__init__()
        self.count, self.activation = count, activation
        layers = list(pairwise(shape))
        self.shape = (count, *layers[0])
        self.weights = nn.ParameterList(torch.empty(count, a, b) for a, b in layers)
        self.biases = nn.ParameterList(torch.empty(count, 1, b) for _, b in layers)

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights, which FSDP turns into tensors that are no parameters."""
        dtype: torch.dtype = self.weights[0].dtype
        return dtype

    def forward(self, numbers: Tensor, places: list[int]) -> Tensor:
        check_whole(self.weights[0], self.shape)
        activate, _ = ACTIVATIONS[self.activation]
        chosen = None if places == list(range(self.count)) else torch.tensor(places, device=numbers.device)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            own = [p if chosen is None else p.index_select(0, chosen) for p in (bias, weight)]
            numbers = torch.baddbmm(own[0], activate(numbers) if layer else numbers, own[1])
        return numbers

    def draw(self, bound: float) -> None:
        """Results of variance 1 from every layer but the last, whose rows spread as widely as another scheme's."""
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            power = ACTIVATIONS[self.activation][1] if layer else 1 / 3
            variance = bound**2 / 3 if layer == len(self.weights) - 1 else 1.0
            own = math.sqrt(3 * variance / (power * weight.shape[1]))
            weight.uniform_(-own, own)
            bias.zero_()
