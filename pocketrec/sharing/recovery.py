"""What some schemes do beside the lookup: ids become ids of pieces, and pieces become rows.

                 translate              the one op                combine
    ids (n, F)  ----------->  (n, F, S, K)  ----->  (n, F * S pieces)  ----->  rows (n, sum of D)

S pieces lie side by side, each with a layout of its own; K terms add up to a piece. A scheme without a `Recovery` looks
its ids up as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pocketrec import hashing
from pocketrec.ops import FeatureLayout, Rule
from pocketrec.ops.layout import to_tensor
from pocketrec.sharing.table import Table

PADDED = hashing.ID_LIMIT
"""The id of a piece that contributes nothing: no other id is as large."""


class Recovery(nn.Module):
    """A scheme's own part of a lookup, its maps (buffers) and weights (parameters) beside the memory.

    Learned weights are parameters and learned maps are buffers, so that both travel in a state_dict; so do constants,
    which say how the module was made: loading those of another recipe is an error.
    """

    splits: int = 1
    """S."""
    terms: int = 1
    """K."""
    linear: bool = True
    """Whether rows are linear in the pieces, given the ids: sums and means are then taken before `combine`."""
    combines: bool = False
    """Whether `combine` does anything."""
    costly: bool = False
    """Whether a row costs more than finding ids that come again in a batch, so that each is recovered once."""

    adapts: bool = False
    """Whether `adapt_` does anything. What is differentiated after it may have been looked up before it."""

    features: Tensor
    """A layout by which ids can be checked: what `rows` say, but all rows are one slot wide, and the same slot."""
    table_of_feature: Tensor

    def __init__(self) -> None:
        super().__init__()
        self._constants: dict[str, list[float]] = {}
        self.rows: tuple[FeatureLayout, ...] = ()
        """Of each feature: number of rows, padding, D, mode; the rest means nothing."""
        self.table_numbers: tuple[int, ...] = ()
        """Of each feature."""

    def serve(self, tables: Sequence[Table]) -> None:
        """Say which features will look ids up."""
        one_slot = {"rule": Rule.MIXING, "base": 0, "span": 1, "chunk": 1, "places": 1}
        self.rows = tuple(t.layout(**one_slot) for t in tables for _ in t.features)
        self.table_numbers = tuple(i for i, t in enumerate(tables) for _ in t.features)
        self.register_buffer("features", _one_slot_each(self.rows), persistent=False)
        self.register_buffer("table_of_feature", torch.tensor(self.table_numbers), persistent=False)

    def constant(self, name: str, values: Sequence[float]) -> None:
        """A buffer that is part of the recipe, not of the state: a number a table."""
        self._constants[name] = list(values)
        self.register_buffer(name, torch.tensor(self._constants[name]))

    def stored(self) -> list[Tensor]:
        """What is kept beside the memory, constants apart."""
        recipe = {id(getattr(self, name)) for name in (*self._constants, "features", "table_of_feature")}
        return [*self.parameters(), *(b for b in self.buffers() if id(b) not in recipe)]

    def tie_(self, first: Recovery) -> None:
        """Keep from now on what `first`, of the same recipe, keeps: the same tensors."""
        kept, own = {id(t) for t in first.stored()}, dict(self.named_modules())
        for name, module in first.named_modules():
            own[name]._parameters.update(module._parameters)
            own[name]._buffers.update({key: b for key, b in module._buffers.items() if id(b) in kept})

    def translate(self, ids: Tensor, tables: Tensor) -> tuple[Tensor, Tensor | None]:
        """Ids of any shape and their tables (broadcast) -> ids of pieces, shape + (S, K), and factors of that shape.

        Factors multiply the pieces, and may be learned; None stands for ones.
        """
        return ids[..., None, None], None

    def combine(self, pieces: Tensor, ids: Tensor | None, tables: Sequence[int]) -> Tensor:
        """Pieces of one row of each of `tables` (n, sum of piece widths) -> the rows side by side (n, sum of D).

        `ids` (n, number of tables) is None where bags were pooled before, which only linear schemes allow.
        """
        return pieces

    def matrix(self, table: int) -> nn.Parameter | None:
        """What pieces of a table are multiplied by, (width, D), where that is all that is done to them; else None."""
        return None

    @torch.no_grad()
    def reset(self, memory: Tensor | None, bound: float) -> None:
        """Draw initial values, those of the memory too where U(-bound, bound), which it has, would not do."""
        for name, values in self._constants.items():
            getattr(self, name).copy_(torch.tensor(values))
        self.features.copy_(_one_slot_each(self.rows))
        self.table_of_feature.copy_(torch.tensor(self.table_numbers))

    def _load_from_state_dict(
        self,
        state: dict[str, Any],
        prefix: str,
        metadata: Any,
        strict: bool,
        missing: Any,
        unexpected: Any,
        errors: list[str],
    ) -> None:
        for name, values in self._constants.items():
            loaded = state.get(prefix + name)
            if loaded is not None and loaded.tolist() != values:
                errors.append(f"{prefix}{name}: these weights were made with other tables, another budget or seed")
        super()._load_from_state_dict(state, prefix, metadata, strict, missing, unexpected, errors)

    def adapt_(self, memory: Tensor | None, ids: Tensor, tables: Tensor) -> None:
        """Learn from the ids of a training batch, before it is looked up; change the map, and the memory with it.

        Nothing unless a scheme's map adapts. All that is learned lies in buffers, and every process of a distributed
        run must come to the same: what one batch teaches is gathered from all.
        """


def _one_slot_each(rows: Sequence[FeatureLayout]) -> Tensor:
    return to_tensor([row._replace(dim=1, column=column) for column, row in enumerate(rows)])
