"""A trained table, read block by block in float32."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pocketrec.compress.blocks import blocks_of_ids


@dataclass(frozen=True)
class Trained:
    """Rows to come near to. That of the padding counts for nothing: it reads as zeros, as it is served.

    Args:
        weight: (n, D), of any floating type.
        padding: the id of that row, if there is one.
    """

    weight: Tensor
    padding: int | None = None

    def ids(self, rows: int) -> Iterator[Tensor]:
        """All, in order, at most so many at once."""
        return blocks_of_ids(len(self.weight), rows, self.weight.device)

    def blocks(self, rows: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All ids in order (k,) and their rows (k, D), at most so many at once. Not to be written to."""
        for ids in self.ids(rows):
            first = int(ids[0])
            own = self.weight[first : first + len(ids)]
            block = own.to(torch.float32, memory_format=torch.contiguous_format)
            if self.padding is not None and first <= self.padding < first + len(ids):
                block = block.masked_fill((ids == self.padding)[:, None], 0)
            yield ids, block

    def draw(self, rows: int, generator: torch.Generator) -> Tensor:
        """So many ids at random; all, once each, where there are no more."""
        n = len(self.weight)
        if n <= rows:
            return torch.arange(n, device=generator.device)
        return torch.randint(n, (rows,), generator=generator, device=generator.device)

    def rows(self, ids: Tensor) -> Tensor:
        """The rows of any ids."""
        rows = self.weight.index_select(0, ids).float()
        return rows if self.padding is None else rows.masked_fill_((ids == self.padding)[:, None], 0)
