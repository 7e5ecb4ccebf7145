"""The rows that a module serves, as a function of float32 values: whatever it stores them in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from pocketrec import ops
from pocketrec.embedding import Embedding, EmbeddingBag
from pocketrec.embedding.recover import recover
from pocketrec.ops import FeatureLayout, Mode, Sign
from pocketrec.sharing import Recovery

_DIM, _MODE, _SIGN = (FeatureLayout._fields.index(name) for name in ("dim", "mode", "sign"))


class Read(NamedTuple):
    """What the op is asked for some ids, one row each."""

    ids: Tensor
    offsets: Tensor | None
    factors: Tensor | None

    @property
    def squared(self) -> Read:
        """The same, factors squared."""
        return self if self.factors is None else self._replace(factors=self.factors.square())


@dataclass(frozen=True)
class Served:
    """One table: ids to what the op is asked, and to rows.

    Args:
        layout: of its pieces, (S, 20).
        recovery: that of the module, or a copy with other values.
        dim: D.
    """

    layout: Tensor
    recovery: Recovery | None
    dim: int

    @classmethod
    def by(cls, embedding: Embedding | EmbeddingBag) -> Served:
        """What a module serves; pooled by sums, whatever its mode, as these are of one row."""
        layout = dict(embedding.named_buffers(recurse=False)).get("layout")
        layout = torch.empty(0, len(FeatureLayout._fields), dtype=torch.int64) if layout is None else layout.clone()
        layout[:, _MODE] = Mode.SUM
        return cls(layout, embedding.recovery, embedding.embedding_dim)

    def over(self, recovery: Recovery) -> Served:
        """The same with other values beside the memory."""
        return replace(self, recovery=recovery)

    @property
    def is_sum(self) -> bool:
        """Whether rows are sums of slots, each times a sign or factor."""
        return self.recovery is None or (self.recovery.linear and not self.recovery.combines)

    @property
    def width(self) -> int:
        """Of all pieces side by side."""
        return int(self.layout[:, _DIM].sum())

    @property
    def widest(self) -> int:
        """Numbers of four bytes that a row takes on its way; ids take two each."""
        reads = 1 if self.recovery is None else self.recovery.splits * self.recovery.terms
        return max(self.dim, self.width, 2 * reads)

    def read(self, ids: Tensor) -> Read:
        """What the op is asked, where its answer is the rows."""
        asked: list[Read] = []

        def ask(ids: Tensor, offsets: Tensor | None, factors: Tensor | None, feature: int | None) -> Tensor:
            asked.append(Read(ids, offsets, None if factors is None else factors.float().contiguous()))
            return torch.empty(0, self.width, device=ids.device)

        if self.recovery is None:
            return Read(ids[:, None], None, None)
        recover(self.recovery, ask, _leave, ids[:, None], None, None, "")
        return asked[0]

    def rows(self, memory: Tensor, read: Read) -> Tensor:
        """The op's answer, (n, D)."""
        return ops.lookup(memory, *read, self.layout, self.width)

    def gathered(self, rows: Tensor, read: Read, memory: Tensor, *, signed: bool = True) -> Tensor:
        """The transpose of `rows`: in each slot of a memory of this shape, all it serves, times sign and factor."""
        layout = self.layout
        if not signed:
            layout = layout.clone()
            layout[:, _SIGN] = Sign.NONE
        own: Tensor = torch.ops.pocketrec.lookup_backward(rows, memory, *read, layout)
        return own

    def recovered(self, memory: Tensor | None, ids: Tensor) -> Tensor:
        """The rows of any scheme, (n, D), differentiable in the memory and in the recovery's parameters."""

        def look_up(ids: Tensor, offsets: Tensor | None, factors: Tensor | None, feature: int | None) -> Tensor:
            assert memory is not None
            own = None if factors is None else factors.to(memory.dtype).contiguous()
            return ops.lookup(memory, ids, offsets, own, self.layout, self.width)

        if self.recovery is None:
            return look_up(ids[:, None], None, None, None)
        return recover(self.recovery, look_up, _leave, ids[:, None], None, None, "")


def _leave(ids: Tensor, tables: Tensor) -> None:
    """Maps stay as they are."""
