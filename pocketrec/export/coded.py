"""Rows from codes (`pocketrec.sharing.TransformCoding`), all tables in one set of operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from pocketrec.export.dialects import Dialect
from pocketrec.sharing.codes import CodedTable
from pocketrec.sharing.transform_coding import Coded

_NEVER = (1 << 62) - 1
"""No id is as large, so no tier begins there."""


class Together(NamedTuple):
    """F tables of one D beside each other. Missing tiers never begin; missing numbers have no bits and no scale."""

    begins: Tensor
    """(F, I) the first row of each tier."""
    before: Tensor
    """(F,) tiers of the tables before, less one."""
    first_rows: Tensor
    """This and the following of each tier of all, one table after the other; see `CodedTable`."""
    starts: Tensor
    row_bits: Tensor
    offsets: Tensor
    """(tiers, K) int32."""
    masks: Tensor
    """(tiers, K) uint8."""
    means: Tensor
    """(tiers, K) float16, as they are stored."""
    scales: Tensor
    basis: Tensor
    """(F, K, D)."""

    @classmethod
    def of(cls, tables: Sequence[CodedTable]) -> Together:
        """Of tables of one D."""
        tables = [table if len(table.basis) else _zeros(table) for table in tables]
        most, numbers = (max(table.means.shape[i] for table in tables) for i in (0, 1))
        sizes = [len(table.first_rows) for table in tables]

        def cells(name: str, dtype: torch.dtype) -> Tensor:
            parts = [getattr(table, name) for table in tables]
            return torch.cat([pad(part, (0, numbers - part.shape[1])) for part in parts]).to(dtype)

        return cls(
            torch.stack([pad(t.first_rows, (0, most - n), value=_NEVER) for t, n in zip(tables, sizes, strict=True)]),
            torch.tensor([sum(sizes[:f]) - 1 for f in range(len(tables))]),
            torch.cat([table.first_rows for table in tables]),
            torch.cat([table.starts for table in tables]),
            torch.cat([table.row_bits for table in tables]),
            cells("offsets", torch.int32),
            cells("masks", torch.uint8),
            cells("means", torch.float16),
            cells("scales", torch.float16),
            torch.stack([pad(t.basis * t.basis_scales, (0, 0, 0, numbers - len(t.basis))) for t in tables]),
        )


def _zeros(table: CodedTable) -> CodedTable:
    """A table of which nothing is stored, as one tier of a number without bits, lest the codes of another are read."""
    first, cell = torch.zeros(1, dtype=torch.int64), torch.zeros(1, 1)
    basis = table.basis.new_zeros(1, table.basis.shape[1])
    return CodedTable(first, first, first, cell.long(), cell.int(), cell, cell, basis, cell)


def prepare_(module: nn.Module) -> None:
    """Put the tables of every coded module together, so that a graph holds the result and not how it was made."""
    for coded in (m for m in module.modules() if isinstance(m, Coded) and m._coded):
        by_width = _by_width(coded, coded.table_numbers).values()
        keys = [tuple(coded.table_numbers[f] for f in features) for features in by_width]
        coded.__dict__["together"] = {key: Together.of([coded._coded[t] for t in key]) for key in keys}


def _by_width(coded: Coded, tables: Sequence[int]) -> dict[int, list[int]]:
    """D -> the features of that width."""
    dims = [coded.dims[t] for t in tables]
    return {dim: [f for f, d in enumerate(dims) if d == dim] for dim in sorted(set(dims))}


def combiner(dialect: Dialect) -> Callable[[Coded, Tensor, Tensor | None, Sequence[int]], Tensor]:
    """What takes the place of `Coded.combine`."""
    whole = Coded.combine

    def combine(self: Coded, pieces: Tensor, ids: Tensor | None, tables: Sequence[int]) -> Tensor:
        if not self._coded:
            return whole(self, pieces, ids, tables)  # which says that there are no codes yet
        assert ids is not None
        columns: dict[int, Tensor] = {}
        for features in _by_width(self, tables).values():
            own = tuple(tables[f] for f in features)
            together = self.__dict__.get("together", {}).get(own) or Together.of([self._coded[t] for t in own])
            chosen = ids if len(own) == len(tables) else ids.index_select(1, torch.tensor(features))
            rows = _rows(dialect, self.get_buffer("packed"), self._levels, together, chosen)
            if len(own) == len(tables):
                return rows.flatten(1)
            columns |= zip(features, rows.unbind(1), strict=True)
        return torch.cat([columns[f] for f in range(len(tables))], 1)

    return combine


def _rows(dialect: Dialect, packed: Tensor, levels: Tensor, tables: Together, ids: Tensor) -> Tensor:
    """(B, F) -> (B, F, D)."""
    tier = (ids[..., None] >= tables.begins).sum(-1) + tables.before
    first, start, row_bits, offsets, masks, means, scales = (dialect.take(of_tier, tier) for of_tier in tables[2:9])
    begin = (start + (ids - first) * row_bits)[..., None] + offsets.long()
    byte = dialect.shift_right(begin, 3)
    low, high = (dialect.take(packed, at).int() for at in (byte, byte + 1))
    codes = (low + high * 256) // _powers(dialect, begin) & masks.int()
    level = dialect.take(levels, codes + masks.int())
    values = means.float() + level * scales.float()
    return (values.transpose(0, 1) @ tables.basis).transpose(0, 1)


def _powers(dialect: Dialect, begin: Tensor) -> Tensor:
    """2 to the bit within its byte at which each number begins: dividing by it shifts."""
    return dialect.take(torch.tensor([1 << bit for bit in range(8)], dtype=torch.int32), begin & 7)
