"""What training and serving hold: weights, gradients, optimiser state and id maps, in full and shared."""

from __future__ import annotations

from dataclasses import dataclass

from pocketrec.plan.workload import Workload

ELEMENT_BYTES = 4
"""float32, in which tables, memory, gradients and states are counted."""
STATE_BYTES = {"sgd": 0, "adagrad": 4, "adam": 8}
"""Of an element or slot: nothing without momentum, the sum of squares, two moments."""
INDEX_BYTES = 8
"""An id: of a row of a row-sparse gradient, or an entry of a vocabulary."""
FILTER_BITS = 10
"""Of a value in the filter of raw ids that `pocketrec train` puts before ROBE (a Bloom filter)."""


@dataclass(frozen=True)
class Memory:
    """Bytes of one way to keep the tables."""

    weights: int
    gradient: int
    """As large as the weights."""
    row_sparse_gradient: int | None
    """At most so much a batch; None for a memory, whose gradient is dense."""
    optimizer: dict[str, int]
    """State of `sgd`, `adagrad` and `adam`."""
    id_map: int
    """What turns raw ids into rows: a vocabulary of every value for full tables; a filter for a memory, at most."""

    @property
    def training(self) -> dict[str, int]:
        """Weights, gradient (row-sparse where there is such) and state, by optimiser."""
        gradient = self.gradient if self.row_sparse_gradient is None else self.row_sparse_gradient
        return {name: self.weights + gradient + state for name, state in self.optimizer.items()}


def full_memory(workload: Workload, batch_size: int) -> Memory:
    """Of the full tables; a batch touches at most `batch_size` rows of each (one id a feature)."""
    touched = sum(min(rows, batch_size) * (width * ELEMENT_BYTES + INDEX_BYTES) for rows, width in workload.sizes)
    return _memory(workload.num_elements, touched, workload.num_rows * INDEX_BYTES)


def shared_memory(workload: Workload, slots: int) -> Memory:
    """Of a memory of so many slots. Raw ids need no map at all; the filter is what `train` uses by default."""
    filtered = workload.kept_rows or workload.num_rows
    return _memory(slots, None, -(-filtered * FILTER_BITS // 8))


def _memory(elements: int, row_sparse_gradient: int | None, id_map: int) -> Memory:
    return Memory(
        weights=elements * ELEMENT_BYTES,
        gradient=elements * ELEMENT_BYTES,
        row_sparse_gradient=row_sparse_gradient,
        optimizer={name: elements * state for name, state in STATE_BYTES.items()},
        id_map=id_map,
    )
