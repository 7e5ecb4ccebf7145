"""Transform coding of trained tables: decorrelate, then give bits to where they matter (Huang and Schultheiss 1963)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pocketrec.errors import UsageError, real_number, whole_number
from pocketrec.sharing.bit_packing import read
from pocketrec.sharing.budget import Budget
from pocketrec.sharing.codebooks import MAX_BITS, all_levels
from pocketrec.sharing.codes import TYPES, CodedTable, Codes, tables_of
from pocketrec.sharing.moved import moved
from pocketrec.sharing.recovery import Recovery
from pocketrec.sharing.scheme import Placement, Shared
from pocketrec.sharing.table import Table

_UNMADE = (
    "these tables hold no codes yet, and cannot be trained: make them from trained full tables with "
    "pocketrec.compress.encode, or load a state_dict of such"
)


@dataclass(frozen=True)
class TransformCoding(Shared):
    """row(x) = sum over k of basis[k] * (mean[i, k] + scale[i, k] * level[b[i, k]][code(x, k)]), x in tier i.

    For inference: made from trained full tables by `pocketrec.compress.encode`, without parameters and gradients. Tiers
    are ranges of rows that are seen about as often. Of the numbers that a row has in the basis of its table, each tier
    gives b[i, k] bits to the k-th, 0 to 7: the more, the more often its rows are seen, and the more that number varies
    and matters. Levels are those that are best for a normal distribution.

    Stores, beside the codes: a mean and a scale (float16) and b (3 bits) for each tier and k; the basis (int8, and a
    float32 scale for each k); where tiers begin.

    Args:
        alpha: rows count by (how often they are seen) ** alpha.
        max_bits: of a number, at most 7.
        ratio: tiers are no finer than counts within this ratio; coarser ones are taken where they cost less.
    """

    alpha: float = 1.0
    max_bits: int = MAX_BITS
    ratio: float = 1.5

    def __post_init__(self) -> None:
        real_number("alpha", self.alpha, "[0, inf)")
        if whole_number("max_bits", self.max_bits, at_least=1) > MAX_BITS:
            raise UsageError(f"max_bits: must be at most {MAX_BITS}, got {self.max_bits}")
        real_number("ratio", self.ratio, "[1, inf)")

    def place(self, tables: Sequence[Table], budget: Budget, seed: int) -> Placement:
        for table in tables:
            if table.known_rows("a coded table") >= 1 << 31:
                raise UsageError(f"table {table.name!r}: a coded table has fewer than 2^31 rows")
        least = CodedTable.fixed_bytes(len(tables))
        budget.require(math.ceil(least / budget.slot_bytes), f"the sizes of {len(tables)} coded tables")
        return Placement(tuple(() for _ in tables), 0, Coded(tables, budget.bytes))


class Coded(Recovery):
    """Rows from codes, those that are asked for; `take_` says which codes."""

    linear, combines, splits = False, True, 0

    def __init__(self, tables: Sequence[Table], budget_bytes: int) -> None:
        super().__init__()
        self.budget_bytes = budget_bytes
        """All that may be stored."""
        self.num_rows = [t.num_embeddings or 0 for t in tables]
        self.dims = [t.embedding_dim for t in tables]
        self.constant("num_embeddings", self.num_rows)
        self.constant("widths", self.dims)
        for name, dtype in TYPES.items():
            self.register_buffer(name, torch.empty(0, dtype=dtype))
        self.register_buffer("like", torch.empty(0), persistent=False)
        self._coded: list[CodedTable] = []
        self._levels = torch.empty(0)

    @property
    def codes(self) -> Codes:
        """All that is stored."""
        return Codes(*(self.get_buffer(name) for name in Codes._fields))

    def take_(self, codes: Codes) -> None:
        """Recover rows from these codes from now on."""
        device = self.get_buffer("packed").device
        for name, tensor in codes._asdict().items():
            setattr(self, name, tensor.to(device))
        self._prepare()

    def _prepare(self) -> None:
        codes = self.codes
        self._coded = tables_of(codes, self.num_rows, self.dims) if len(codes.tiers) else []
        self._levels = all_levels().to(codes.packed.device)

    def tie_(self, first: Recovery) -> None:
        super().tie_(first)
        self._prepare()

    def reset(self, memory: Tensor | None, bound: float) -> None:
        """Nothing to draw: the codes come later.

        Raises:
            UsageError: they are there.
        """
        if self._coded:
            raise UsageError("coded tables are for inference and draw no initial values: build the module anew")
        super().reset(memory, bound)

    def combine(self, pieces: Tensor, ids: Tensor | None, tables: Sequence[int]) -> Tensor:
        if not self._coded:
            raise UsageError(_UNMADE)
        assert ids is not None
        return torch.cat([self._rows(self._coded[t], ids[:, f]) for f, t in enumerate(tables)], 1)

    def _rows(self, own: CodedTable, ids: Tensor) -> Tensor:
        """(n,) -> (n, D)."""
        like = self.get_buffer("like")
        if not len(own.basis):
            return like.new_zeros(len(ids), own.basis.shape[1])
        if not torch.compiler.is_compiling():
            ids, again = ids.unique(return_inverse=True)
            return self._decoded(own, ids).index_select(0, again)
        return self._decoded(own, ids)

    def _decoded(self, own: CodedTable, ids: Tensor) -> Tensor:
        tier = torch.searchsorted(own.first_rows, ids.contiguous(), right=True) - 1
        first, start, row_bits = (of_tier.index_select(0, tier) for of_tier in own[:3])
        offsets, masks, means, scales = (of_tier.index_select(0, tier) for of_tier in own[3:7])
        codes = read(self.get_buffer("packed"), (start + (ids - first) * row_bits)[:, None] + offsets, masks)
        levels = self._levels.index_select(0, (codes + masks).flatten()).view_as(means)
        return (torch.addcmul(means, levels, scales) @ (own.basis * own.basis_scales)).to(self.get_buffer("like").dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Codes move to other devices; `.half()` and the like leave their types alone."""
        before = self.codes
        super()._apply(fn, recurse)
        for name, tensor in before._asdict().items():
            setattr(self, name, moved(tensor, tensor.to(self.get_buffer(name).device)))
        if self._coded:
            self._prepare()
        return self

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
        """The codes of a state_dict are as long as they are there."""
        for name, dtype in TYPES.items():
            loaded = state.get(prefix + name)
            if loaded is None:
                continue
            if loaded.dtype != dtype or loaded.dim() != 1:
                errors.append(f"{prefix}{name}: must be 1-D of {dtype}, got {loaded.dtype} {tuple(loaded.shape)}")
                return
            setattr(self, name, torch.empty_like(loaded, device=self.get_buffer(name).device))
        super()._load_from_state_dict(state, prefix, metadata, strict, missing, unexpected, errors)
        if any(error.startswith(prefix) for error in errors):
            return
        try:
            self._prepare()
        except (ValueError, RuntimeError, IndexError) as error:
            errors.append(f"{prefix}packed: damaged: {error}")
