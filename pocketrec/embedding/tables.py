"""The owner: one learnable memory behind any number of virtual tables."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pocketrec import hashing, ops
from pocketrec.embedding.arguments import check_dtype, check_sharing, check_tables
from pocketrec.embedding.budget import INTEGER_BITS, budget_of, full_table_bytes, slot_bytes
from pocketrec.embedding.init import check_init, init_bound
from pocketrec.embedding.parts import Part, choose_features, make_parts
from pocketrec.embedding.recover import recover
from pocketrec.embedding.state import disagreements, pack_saved, unpack_loaded
from pocketrec.embedding.unversioned import unversioned
from pocketrec.errors import UsageError, whole_number
from pocketrec.ops.checks import as_rows, check_bags, check_shapes, check_whole
from pocketrec.ops.layout import Mode, to_tensor
from pocketrec.sharing import Scheme, Table
from pocketrec.sharing.moved import moved


class SharedTables(nn.Module):
    """Virtual tables served by one memory; `EmbeddingBag`, `Embedding`, `EmbeddingBagCollection` add a signature.

    A scheme with a budget owns one Parameter, `memory` (M,); what some keep beside it is under `recovery`. `Full` owns
    one (rows, D) Parameter for each width D, `full_d<D>`, with row-sparse gradients. Beside each lies its layout, an
    int64 buffer that travels in `state_dict`: weights whose rows another seed, scheme or table list would scramble are
    an error when they are loaded.

    Args:
        tables: the virtual tables; a table's position enters its hash.
        sharing: how rows are recovered.
        memory_size: the budget in slots of the memory; or
        memory_bytes: in bytes; or
        compression: bytes of the full float32 tables / bytes stored, at least 1. None of them is given for `Full`. All
            that a scheme keeps counts: slots, pointers, maps, projections.
        init: half-width of the uniform initial values, or a named rule (`pocketrec.embedding.init`).
        dtype: of the memory: a floating-point type, or torch.int8 or torch.int4: then a float32 master is trained,
            lookups see it as integers will serve it, budget and stored bytes are theirs; `quantize_` drops the master.
        seed: of the hashes, in [0, 2^62). Not of the initial values: those follow `torch.manual_seed`.

    Raises:
        UsageError: a budget that is missing, doubled or impossible; tables or features of the same name.
    """

    is_embedding = True
    memory: Tensor
    scales: Tensor | None
    _is_sharded = False

    def __init__(
        self,
        tables: Sequence[Table],
        sharing: Scheme,
        *,
        memory_size: int | None = None,
        memory_bytes: int | None = None,
        compression: float | None = None,
        init: float | str | None = None,
        seed: int = 0,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sharing(sharing)
        check_dtype(dtype)
        self.bits = None if dtype is None else INTEGER_BITS.get(dtype)
        """Of a slot as it is stored, 8 or 4, if in integers. `memory` is their float32 master until `quantize_`."""
        if self.bits is not None and sharing.row_sparse:
            raise UsageError(f"dtype: {dtype} is for shared memories; full tables train in a floating-point type")
        self.tables = check_tables(tables)
        self.sharing = sharing
        self.init = check_init(init)
        self.seed = seed
        _check_tables(self.tables, seed)
        budget = budget_of(
            self.tables,
            sharing,
            slot_bytes(dtype),
            memory_size=memory_size,
            memory_bytes=memory_bytes,
            compression=compression,
        )
        self.feature_names = tuple(f for t in self.tables for f in t.features)
        self._table_of_feature = tuple(t for t in self.tables for _ in t.features)
        self.dims = tuple(t.embedding_dim for t in self._table_of_feature)
        """D of each feature, in order."""
        self._parts, self.recovery = make_parts(self.tables, sharing, budget, seed)
        if self.recovery is not None:
            self.recovery.serve(self.tables)
            self.recovery.to(device, dtype if self.bits is None else torch.float32)
        dtype = dtype if self.bits is None else torch.float32
        for part in self._parts:
            empty = torch.empty(part.shape, device=device, dtype=dtype)
            self.register_parameter(part.parameter, nn.Parameter(empty))
            self.register_buffer(part.layout, to_tensor(part.rows).to(device))
        self.register_buffer("scales", None)  # of a memory in integers
        self._waiting: weakref.ref[ops.Waiting] | None = None
        self.reset_parameters()

    @property
    def sparse_gradients(self) -> bool:
        """Whether gradients are row-sparse (full tables)."""
        return self.sharing.row_sparse

    def stored(self) -> dict[int, int]:
        """Bytes of each tensor kept to recover rows, by its identity: of a memory, as it will be served."""
        kept = [getattr(self, part.parameter) for part in self._parts]
        if self.recovery is not None:
            kept += self.recovery.stored()
        stored = {id(t): t.numel() * t.element_size() for t in kept}
        if self._parts and self.bits is not None:
            stored[id(self.memory)] = ops.quantized_bytes(kept[0].numel(), self.bits)
        return stored

    def defer_gradients(self, waiting: ops.Waiting) -> None:
        """While `waiting` exists, backward adds to it and leaves `memory.grad` alone (see `pocketrec.optim`)."""
        self._waiting = weakref.ref(waiting)

    @property
    def waiting(self) -> ops.Waiting | None:
        """What backward adds to instead of `memory.grad`, if anything."""
        return None if self._waiting is None else self._waiting()

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles are not stepped by the optimiser that the original is fused with."""
        return self.__dict__ | {"_waiting": None}

    @property
    def num_features(self) -> int:
        """F."""
        return len(self.feature_names)

    def __setattr__(self, name: str, value: Any) -> None:
        # FSDP2 puts its shards here; while it trains, the memory looks like any other.
        if name == "memory" and hasattr(value, "placements"):
            self.__dict__["_is_sharded"] = True
        super().__setattr__(name, value)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        held = (self.memory, self.scales) if self.scales is not None else None
        super()._apply(fn, recurse)
        if held is not None and self.scales is not None:
            memory, scales = held
            # Of integers, and float32 whatever `.half()` does to the rest; several modules may hold both.
            self.scales = moved(scales, scales.to(self.scales.device))
            self.memory = moved(memory, self.memory)
        return self

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw initial values from torch's generator (see `pocketrec.embedding.init`), and rewrite the layout.

        After `to_empty()` on a module built on the meta device, this makes it whole.
        """
        if self.scales is not None:
            raise UsageError("a memory of integers is for inference and draws no initial values: build the module anew")
        for part in self._parts:
            self.get_buffer(part.layout).copy_(to_tensor(part.rows))
            parameter = self.get_parameter(part.parameter)
            if not self.sparse_gradients:
                bound = init_bound(self.init, self.tables)
                parameter.uniform_(-bound, bound)
                continue
            tables = {
                row.base // row.dim: self._table_of_feature[f] for row, f in zip(part.rows, part.features, strict=True)
            }
            for first, table in tables.items():
                bound = init_bound(self.init, [table])
                parameter[first : first + (table.num_embeddings or 0)].uniform_(-bound, bound)
        if self.recovery is not None:
            self.recovery.reset(getattr(self, "memory", None), init_bound(self.init, self.tables))

    def lookup(self, indices: Tensor, offsets: Tensor | None = None, weights: Tensor | None = None) -> Tensor:
        """Pooled rows of all features side by side, (B, sum of D); arguments as `pocketrec.ops.lookup`."""
        if indices.dim() > 2:  # the op would take (B, F, K) for bags of K
            check_shapes(indices, offsets, weights, self.num_features)
        weights = None if weights is None else weights.contiguous()
        if self.recovery is not None:
            for part in self._parts:  # before what lies beside it is read, which is sharded likewise
                check_whole(getattr(self, part.parameter), part.shape)
            if weights is not None and self._parts:
                weights = as_rows(weights, self._row_type)
            names = "\n".join(self.feature_names)
            return recover(self.recovery, self._read_pieces, self._adapt, indices, offsets, weights, names)
        if len(self._parts) == 1:
            return self._read(self._parts[0], getattr(self, self._parts[0].layout), indices, offsets, weights)
        check_bags(indices, offsets, weights, self.num_features)
        columns: dict[int, Tensor] = {}
        for part in self._parts:
            chosen = choose_features(part.features, self.num_features, indices, offsets, weights)
            read = self._read(part, getattr(self, part.layout), *chosen)
            columns |= zip(part.features, read.split(part.rows[0].dim, dim=1), strict=True)
        return torch.cat([columns[feature] for feature in range(self.num_features)], dim=1)

    @torch.no_grad()
    def _adapt(self, ids: Tensor, tables: Tensor) -> None:
        if self.recovery is None or not self.recovery.adapts or self.scales is not None:
            return
        memory = getattr(self, "memory", None)
        if memory is not None and (self._is_sharded or not isinstance(memory, nn.Parameter)):
            raise UsageError(
                f"{type(self.sharing).__name__} moves rows within its memory while it trains, and FSDP's shards would "
                "lose that: leave the embeddings out of FSDP (ignored_modules, ignored_params), or use DDP"
            )
        self.recovery.adapt_(memory, ids, tables)

    def _read_pieces(self, ids: Tensor, offsets: Tensor | None, weights: Tensor | None, feature: int | None) -> Tensor:
        (part,) = self._parts
        weights = None if weights is None else weights.to(self._row_type).contiguous()
        if feature is None:
            return self._read(part, getattr(self, part.layout), ids, offsets, weights)
        part = part.only(feature)
        return self._read(part, to_tensor(part.rows).to(ids.device), ids, offsets, weights)

    @property
    def _row_type(self) -> torch.dtype:
        kept = getattr(self, self._parts[0].parameter) if self.scales is None else self.scales
        dtype: torch.dtype = kept.dtype
        return dtype

    def _read(
        self, part: Part, layout: Tensor, indices: Tensor, offsets: Tensor | None, weights: Tensor | None
    ) -> Tensor:
        memory = getattr(self, part.parameter)
        if self.bits is not None and self.scales is None:
            memory = ops.shadow(memory, self.bits)
        elif self._values_do_not_matter(part, weights):
            memory = unversioned(memory)
        args = (memory, indices, offsets, weights, layout, part.width, part.names)
        if self.sparse_gradients:
            return ops.lookup_row_sparse(*args)
        waiting = self.waiting
        # A compiled graph cannot keep batches aside: there the memory gets a gradient, which is stepped as well.
        trains = memory.requires_grad and torch.is_grad_enabled()
        if waiting is not None and trains and not torch.compiler.is_compiling():
            return ops.lookup_deferred(*args, waiting)
        return ops.lookup(*args, self.scales)

    def _values_do_not_matter(self, part: Part, weights: Tensor | None) -> bool:
        """Whether a map adapts that moves rows, and gradients do not depend on what the rows are."""
        adapts = self.recovery is not None and self.recovery.adapts and self.recovery.training
        adapts = adapts and torch.is_grad_enabled() and not torch.compiler.is_compiling()
        return (
            adapts and (weights is None or not weights.requires_grad) and all(row.mode != Mode.MAX for row in part.rows)
        )

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.scales is not None and self.bits == 4:
            pack_saved(destination, f"{prefix}memory")

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
        own = {part.parameter: getattr(self, part.parameter) for part in self._parts}
        if self.scales is not None and self.bits == 4:
            unpack_loaded(state, f"{prefix}memory", own["memory"])
        errors.extend(disagreements(self._parts, own, state, prefix))
        super()._load_from_state_dict(state, prefix, metadata, strict, missing, unexpected, errors)

    def extra_repr(self) -> str:
        """What `print(module)` shows."""
        stored = sum(self.stored().values())
        full = full_table_bytes(self.tables)
        saved = "" if full is None else f", compression={full / max(stored, 1):.4g}x"
        return f"tables={len(self.tables)}, features={self.num_features}, {self.sharing}, stored_bytes={stored}{saved}"


def owners_in(module: nn.Module) -> list[SharedTables]:
    """The pocketrec embeddings within a module, itself included."""
    return [m for m in module.modules() if isinstance(m, SharedTables)]


def _check_tables(tables: tuple[Table, ...], seed: int) -> None:
    for what, names in (
        ("table", [t.name for t in tables]),
        ("feature", [f for t in tables for f in t.features]),
    ):
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise UsageError(f"{what} names must be unique, got {twice[0]!r} more than once")
    if whole_number("seed", seed, at_least=0) >= hashing.ID_LIMIT:
        raise UsageError(f"seed must be below 2^62, got {seed}")
