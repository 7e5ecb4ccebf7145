"""The owner: one learnable memory behind any number of virtual tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pocketrec import hashing, ops
from pocketrec.embedding.init import check_init, init_bound
from pocketrec.errors import UsageError
from pocketrec.ops.layout import from_tensor, to_tensor
from pocketrec.sharing import Scheme, Table


@dataclass(frozen=True)
class _Part:
    """A parameter and the features it serves: one for a hashed scheme, one for each width of full tables."""

    parameter: str
    layout: str
    features: tuple[int, ...]
    width: int


class SharedTables(nn.Module):
    """Virtual tables served by one memory; `EmbeddingBag`, `Embedding`, `EmbeddingBagCollection` add a signature.

    A hashed scheme owns one Parameter, `memory` (M,). `Full` owns one (rows, D) Parameter for each width D,
    `full_d<D>`, with row-sparse gradients. Beside each lies its layout, an int64 buffer that travels in
    `state_dict`: loading weights that another seed, scheme or table list made is an error, not a scrambled model.

    Args:
        tables: the virtual tables; a table's position enters its hash.
        sharing: how rows are recovered.
        memory_size: slots of the memory; or
        compression: full slots / memory slots, at least 1. Neither is given for `Full`.
        init: half-width of the uniform initial values, or a named rule (`pocketrec.embedding.init`).
        seed: of the hashes, in [0, 2^62). Not of the initial values: those follow `torch.manual_seed`.

    Raises:
        UsageError: a budget that is missing, doubled or impossible.
    """

    is_embedding = True

    def __init__(
        self,
        tables: Sequence[Table],
        sharing: Scheme,
        *,
        memory_size: int | None = None,
        compression: float | None = None,
        init: float | str | None = None,
        seed: int = 0,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.tables = tuple(tables)
        self.sharing = sharing
        self.init = check_init(init)
        self.seed = seed
        _check_tables(self.tables, seed)
        budget = _budget(self.tables, sharing, memory_size, compression)
        placed, slots = sharing.place(self.tables, budget, seed)
        self.feature_names = tuple(f for t in self.tables for f in t.features)
        self._names = "\n".join(self.feature_names)
        self._table_of_feature = tuple(i for i, t in enumerate(self.tables) for _ in t.features)
        self._parts = self._create(placed, slots, device, dtype)
        self.reset_parameters()

    def _create(self, placed: list[ops.FeatureLayout], slots: int, device: Any, dtype: Any) -> tuple[_Part, ...]:
        """Register parameters and layouts, and say which features each serves."""
        if not self.sharing.row_sparse:
            features = tuple(range(len(self.feature_names)))
            self.memory = nn.Parameter(torch.empty(slots, device=device, dtype=dtype))
            return (
                self._add_layout(
                    "memory", "layout", features, [placed[self._table_of_feature[f]] for f in features], device
                ),
            )
        parts = []
        for dim in sorted({t.embedding_dim for t in self.tables}):
            own = [i for i, t in enumerate(self.tables) if t.embedding_dim == dim]
            moved, rows = self.sharing.place([self.tables[i] for i in own], 0, self.seed)
            layout_of = dict(zip(own, moved, strict=True))
            features = tuple(f for f, t in enumerate(self._table_of_feature) if t in layout_of)
            name = f"full_d{dim}"
            self.register_parameter(name, nn.Parameter(torch.empty(rows // dim, dim, device=device, dtype=dtype)))
            rows_of = [layout_of[self._table_of_feature[f]] for f in features]
            parts.append(self._add_layout(name, f"layout_d{dim}", features, rows_of, device))
        return tuple(parts)

    def _add_layout(
        self, parameter: str, name: str, features: tuple[int, ...], placed: list[ops.FeatureLayout], device: Any
    ) -> _Part:
        column, rows = 0, []
        for layout in placed:
            rows.append(layout._replace(column=column))
            column += layout.dim
        self.register_buffer(name, to_tensor(rows).to(device))
        return _Part(parameter, name, features, column)

    @property
    def sparse_gradients(self) -> bool:
        """Whether gradients are row-sparse (full tables)."""
        return self.sharing.row_sparse

    @property
    def num_features(self) -> int:
        """F."""
        return len(self.feature_names)

    @property
    def dims(self) -> tuple[int, ...]:
        """D of each feature, in order."""
        return tuple(self.tables[t].embedding_dim for t in self._table_of_feature)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw initial values from torch's generator; see `pocketrec.embedding.init`."""
        for part in self._parts:
            parameter = self.get_parameter(part.parameter)
            if not self.sparse_gradients:
                bound = init_bound(self.init, self.tables)
                parameter.uniform_(-bound, bound)
                continue
            seen = set()
            for layout, feature in zip(from_tensor(self.get_buffer(part.layout).cpu()), part.features, strict=True):
                table = self._table_of_feature[feature]
                if table not in seen:
                    seen.add(table)
                    bound = init_bound(self.init, [self.tables[table]])
                    first = layout.base // layout.dim
                    parameter[first : first + layout.places].uniform_(-bound, bound)

    def lookup(self, indices: Tensor, offsets: Tensor | None = None, weights: Tensor | None = None) -> Tensor:
        """Pooled rows of all features side by side, (B, sum of D); arguments as `pocketrec.ops.lookup`."""
        read = ops.lookup_row_sparse if self.sparse_gradients else ops.lookup
        if len(self._parts) == 1:
            part = self._parts[0]
            return read(
                self.get_parameter(part.parameter),
                indices,
                offsets,
                weights,
                self.get_buffer(part.layout),
                part.width,
                self._names,
            )
        columns: list[Tensor | None] = [None] * self.num_features
        for part in self._parts:
            chosen = _choose(part.features, self.num_features, indices, offsets, weights)
            names = "\n".join(self.feature_names[f] for f in part.features)
            out = read(self.get_parameter(part.parameter), *chosen, self.get_buffer(part.layout), part.width, names)
            dim = part.width // len(part.features)
            for feature, column in zip(part.features, out.split(dim, dim=1), strict=True):
                columns[feature] = column
        return torch.cat([c for c in columns if c is not None], dim=1)

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
        for part in self._parts:
            loaded, own = state.get(prefix + part.layout), self.get_buffer(part.layout)
            if loaded is not None and (loaded.shape != own.shape or not torch.equal(loaded.cpu(), own.cpu())):
                errors.append(
                    f"{prefix}{part.layout}: these weights were made with other tables, another sharing scheme, "
                    "memory size or seed; build the module with the settings it was trained with"
                )
        super()._load_from_state_dict(state, prefix, metadata, strict, missing, unexpected, errors)

    def extra_repr(self) -> str:
        slots = sum(self.get_parameter(p.parameter).numel() for p in self._parts)
        rows = [t.num_embeddings for t in self.tables]
        full = None if None in rows else sum((t.num_embeddings or 0) * t.embedding_dim for t in self.tables)
        saved = "" if full is None else f", compression={full / max(slots, 1):.4g}x"
        return f"tables={len(self.tables)}, features={self.num_features}, {self.sharing}, memory_size={slots}{saved}"


def _check_tables(tables: tuple[Table, ...], seed: int) -> None:
    if not tables:
        raise UsageError("an embedding collection needs at least one table")
    for what, names in (
        ("table", [t.name for t in tables]),
        ("feature", [f for t in tables for f in t.features]),
    ):
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise UsageError(f"{what} names must be unique, got {twice[0]!r} more than once")
    if not 0 <= seed < hashing.ID_LIMIT:
        raise UsageError(f"seed must be in [0, 2^62), got {seed}")


def _budget(tables: tuple[Table, ...], sharing: Scheme, memory_size: int | None, compression: float | None) -> int:
    """Slots of the memory."""
    if sharing.row_sparse:
        if memory_size is not None or compression not in (None, 1, 1.0):
            raise UsageError("full tables take no memory_size and no compression: they store every row")
        return 0
    if (memory_size is None) == (compression is None):
        raise UsageError("give either memory_size (slots) or compression (full / shared, at least 1)")
    if memory_size is not None:
        if memory_size < 1:
            raise UsageError(f"memory_size must be at least 1 slot, got {memory_size}")
        return int(memory_size)
    assert compression is not None
    if not (math.isfinite(compression) and compression >= 1):
        raise UsageError(f"compression is full size / shared size, at least 1 (1000 for 1000x), got {compression}")
    open_ended = [t.name for t in tables if t.num_embeddings is None]
    if open_ended:
        raise UsageError(
            f"table {open_ended[0]!r} is open-ended, so there is nothing to compress from: give memory_size"
        )
    return int(sum((t.num_embeddings or 0) * t.embedding_dim for t in tables) / compression)


def _choose(
    features: tuple[int, ...], num_features: int, indices: Tensor, offsets: Tensor | None, weights: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The ids, offsets and weights of some of the features, in the form they came in."""
    if offsets is None:
        wanted = torch.tensor(features, device=indices.device)
        own = None if weights is None else weights.index_select(1, wanted)
        return indices.index_select(1, wanted), None, own
    samples = (offsets.numel() - 1) // num_features
    bounds = offsets[::samples].tolist() if samples else [0] * (num_features + 1)
    ids = torch.cat([indices[bounds[f] : bounds[f + 1]] for f in features])
    own = None if weights is None else torch.cat([weights[bounds[f] : bounds[f + 1]] for f in features])
    lengths = torch.cat([offsets[f * samples : (f + 1) * samples + 1].diff() for f in features])
    return ids, torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]), own
