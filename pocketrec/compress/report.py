"""What the embeddings of a model weigh: in full, stored, and in the optimiser."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pocketrec.embedding import SharedTables, full_bytes, stored_bytes
from pocketrec.embedding.budget import full_table_bytes

_TORCH_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)


@dataclass(frozen=True)
class Weight:
    """One embedding module, by bytes."""

    name: str
    kind: str
    full_bytes: int | None
    """In float32, a row for every id; None where a table is open-ended."""
    stored_bytes: int
    optimizer_bytes: int
    tables: tuple[tuple[str, int | None], ...] = ()
    """Name and `full_bytes` of each, where several share the module's memory."""


@dataclass(frozen=True)
class MemoryReport:
    """`print` it for a table; `total` is over modules, each counted once."""

    weights: tuple[Weight, ...]

    @property
    def total(self) -> Weight:
        """The sums."""
        full = [w.full_bytes for w in self.weights]
        known = None if None in full else sum(f or 0 for f in full)
        stored = sum(w.stored_bytes for w in self.weights)
        return Weight("in all", "", known, stored, sum(w.optimizer_bytes for w in self.weights))

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("module", "kind", "full", "stored", "optimiser", "compression")]
        rows += [row for w in (*self.weights, self.total) for row in (_cells(w), *map(_table_cells, w.tables))]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)).rstrip() for row in rows)


def memory_report(model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> MemoryReport:
    """Every embedding of a model, torch's and ours; modules and weights that are used twice are counted once.

    Args:
        model: any module.
        optimizer: one that has stepped, to count its state; or None.
    """
    return MemoryReport(tuple(_weigh(name, module, optimizer) for name, module in _embeddings(model)))


def _embeddings(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    counted: set[frozenset[int]] = set()
    for name, module in model.named_modules():
        if isinstance(module, (SharedTables, *_TORCH_EMBEDDINGS)):
            weights = frozenset(_stored(module))
            if not weights or weights not in counted:
                yield name or type(module).__name__, module
            counted.add(weights)


def _stored(module: nn.Module) -> Iterable[int]:
    """The identities of what is kept: of integers, too, which are no parameters."""
    return module.stored() if isinstance(module, SharedTables) else map(id, module.parameters())


def _weigh(name: str, module: nn.Module, optimizer: torch.optim.Optimizer | None) -> Weight:
    state = sum(_state_bytes(optimizer, p) for p in module.parameters())
    if isinstance(module, SharedTables):
        tables = tuple((t.name, full_table_bytes([t])) for t in module.tables) if len(module.tables) > 1 else ()
        return Weight(name, str(module.sharing), full_bytes(module), stored_bytes(module), state, tables)
    assert isinstance(module, _TORCH_EMBEDDINGS)
    weight = module.weight
    return Weight(name, type(module).__name__, 4 * weight.numel(), weight.numel() * weight.element_size(), state)


def _state_bytes(optimizer: torch.optim.Optimizer | None, parameter: Tensor) -> int:
    kept = [] if optimizer is None else optimizer.state.get(parameter, {}).values()
    return sum(t.numel() * t.element_size() for t in kept if isinstance(t, Tensor))


def _table_cells(table: tuple[str, int | None]) -> tuple[str, ...]:
    name, full = table
    return f"  {name}", "table", _full(full), "shared", "", ""


def _full(count: int | None) -> str:
    return "open-ended" if count is None else _bytes(count)


def _cells(weight: Weight) -> tuple[str, ...]:
    full = _full(weight.full_bytes)
    times = (
        "" if not weight.full_bytes or not weight.stored_bytes else f"{weight.full_bytes / weight.stored_bytes:.4g}x"
    )
    return weight.name, weight.kind, full, _bytes(weight.stored_bytes), _bytes(weight.optimizer_bytes), times


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.4g} {unit}"
        count /= 1000
    return f"{count:.4g} TB"
