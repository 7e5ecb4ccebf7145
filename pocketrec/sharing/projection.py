"""Narrow rows, projected: what the schemes that store fewer numbers a row than a row has have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pocketrec import hashing
from pocketrec.sharing.budget import Budget
from pocketrec.sharing.hashing_trick import short_table
from pocketrec.sharing.recovery import Recovery
from pocketrec.sharing.scheme import Placement
from pocketrec.sharing.table import Table


def stored(tables: Sequence[Table], widths: Sequence[int]) -> tuple[int, int]:
    """Slots and weights of tables that keep every row, so wide."""
    slots = sum((t.num_embeddings or 0) * w for t, w in zip(tables, widths, strict=True))
    return slots, projections(tables, widths)


def projections(tables: Sequence[Table], widths: Sequence[int]) -> int:
    """Weights of the projections: none where rows are whole."""
    return sum(w * t.embedding_dim for t, w in zip(tables, widths, strict=True) if w < t.embedding_dim)


def useful(table: Table, width: int, budget: Budget) -> int:
    """The width, or D where whole rows store no more than narrow ones and their projection."""
    n, d = table.num_embeddings, table.embedding_dim
    width = min(width, d)
    whole = n is not None and budget.bytes_of(n * d, 0) <= budget.bytes_of(n * width, width * d)
    return d if whole else width


def projected(tables: Sequence[Table], widths: Sequence[int], rows: Sequence[int], seed: int) -> Placement:
    """Tables of so many rows, so wide: hashed where the rows are not all there are."""
    base, pieces = 0, []
    for number, (table, width, num_rows) in enumerate(zip(tables, widths, rows, strict=True)):
        pieces.append((short_table(table, num_rows, base, hashing.mixing_key(seed, number), width),))
        base += num_rows * width
    return Placement(tuple(pieces), base, Projection(tables, widths))


class Projection(Recovery):
    """row = narrow row @ projection, where the row is narrow. Pooled before, as that is linear."""

    def __init__(self, tables: Sequence[Table], widths: Sequence[int]) -> None:
        super().__init__()
        self.widths = tuple(widths)
        shapes = {str(i): (w, t.embedding_dim) for i, (t, w) in enumerate(zip(tables, widths, strict=True))}
        self.projections = nn.ParameterDict({i: nn.Parameter(torch.empty(s)) for i, s in shapes.items() if s[0] < s[1]})
        """(width, D) of each table that has one, by its number."""
        self.combines = len(self.projections) > 0

    def combine(self, pieces: Tensor, ids: Tensor | None, tables: Sequence[int]) -> Tensor:
        narrow = pieces.split([self.widths[t] for t in tables], 1)
        return torch.cat([self._project(rows, str(t)) for rows, t in zip(narrow, tables, strict=True)], 1)

    def matrix(self, table: int) -> nn.Parameter | None:
        return self.projections.get(str(table))

    def _project(self, rows: Tensor, table: str) -> Tensor:
        return rows @ self.projections[table].to(rows.dtype) if table in self.projections else rows

    @torch.no_grad()
    def reset(self, memory: Tensor | None, bound: float) -> None:
        """Projections that keep the variance, so that rows spread as widely as the slots."""
        super().reset(memory, bound)
        for projection in self.projections.values():
            own = math.sqrt(3 / projection.shape[0])
            projection.uniform_(-own, own)
