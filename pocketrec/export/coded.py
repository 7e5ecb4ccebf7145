"""Rows from codes (`pocketrec.sharing.TransformCoding`), all tables in one set of operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from pocketrec.export.dialects import Dialect
from pocketrec.sharing.codes import CodedTable
from pocketrec.sharing.transform_coding import Coded

_NEVER = (1 << 62) - 1
"""No id is as large, so no tier begins there."""


def combiner(dialect: Dialect) -> Callable[[Coded, Tensor, Tensor | None, Sequence[int]], Tensor]:
    """What takes the place of `Coded.combine`."""
    whole = Coded.combine

    def combine(self: Coded, pieces: Tensor, ids: Tensor | None, tables: Sequence[int]) -> Tensor:
        if not self._coded:
            return whole(self, pieces, ids, tables)  # which says that there are no codes yet
        assert ids is not None
        dims = [self.dims[t] for t in tables]
        columns: dict[int, Tensor] = {}
        for dim in sorted(set(dims)):
            own = [f for f, d in enumerate(dims) if d == dim]
            chosen = ids if len(own) == len(dims) else ids.index_select(1, torch.tensor(own))
            coded = [self._coded[tables[f]] for f in own]
            rows = _rows(dialect, self.get_buffer("packed"), self._levels, coded, chosen)
            if len(own) == len(dims):
                return rows.flatten(1)
            columns |= zip(own, rows.unbind(1), strict=True)
        return torch.cat([columns[f] for f in range(len(dims))], 1)

    return combine


def _rows(dialect: Dialect, packed: Tensor, levels: Tensor, coded: Sequence[CodedTable], ids: Tensor) -> Tensor:
    """(B, F) -> (B, F, D) of tables of one D. Missing tiers never begin; missing numbers have no bits and no scale."""
    tiers, numbers = (max(table.means.shape[i] for table in coded) for i in (0, 1))
    begins = torch.stack([pad(table.first_rows, (0, tiers - len(table.first_rows)), value=_NEVER) for table in coded])
    before = torch.tensor([sum(len(table.first_rows) for table in coded[:f]) for f in range(len(coded))])
    tier = (ids[..., None] >= begins).sum(-1) + (before - 1)

    def of_tiers(name: str, dtype: torch.dtype) -> Tensor:
        parts = [getattr(table, name) for table in coded]
        if parts[0].dim() == 2:
            parts = [pad(part, (0, numbers - part.shape[1])) for part in parts]
        return dialect.take(torch.cat(parts).to(dtype), tier)

    first, start, row_bits = (of_tiers(name, torch.int64) for name in ("first_rows", "starts", "row_bits"))
    begin = (start + (ids - first) * row_bits)[..., None] + of_tiers("offsets", torch.int32).long()
    masks = of_tiers("masks", torch.uint8).int()
    byte = dialect.shift_right(begin, 3)
    low, high = (dialect.take(packed, at).int() for at in (byte, byte + 1))
    codes = (low + high * 256) // _powers(dialect, begin) & masks
    level = dialect.take(levels, codes + masks)
    values = of_tiers("means", torch.float32) + level * of_tiers("scales", torch.float32)
    bases = torch.stack([pad(t.basis * t.basis_scales, (0, 0, 0, numbers - len(t.basis))) for t in coded])
    return (values.transpose(0, 1) @ bases.float()).transpose(0, 1)


def _powers(dialect: Dialect, begin: Tensor) -> Tensor:
    """2 to the bit within its byte at which each number begins: dividing by it shifts."""
    return dialect.take(torch.tensor([1 << bit for bit in range(8)], dtype=torch.int32), begin & 7)
