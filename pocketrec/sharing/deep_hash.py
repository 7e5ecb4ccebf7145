"""Deep hash embeddings: no rows, a network for each table from hashes of the id to the row (Kang et al., KDD 2021,
arXiv 2010.10784).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from pocketrec import hashing
from pocketrec.errors import one_of, whole_number
from pocketrec.sharing.budget import Budget
from pocketrec.sharing.full import Full, exact_rows
from pocketrec.sharing.networks import ACTIVATIONS, Networks
from pocketrec.sharing.scheme import Placement, Shared
from pocketrec.sharing.table import Table

LARGEST_WIDTH = 1 << 13


@dataclass(frozen=True)
class DeepHash(Shared):
    """row(x) = network(e(x)), e(x)[j] = (2 * hash(table, x, j) + 1) / 2^16 - 1, hashes in [0, 2^16).

    The network: `depth` layers, each w wide, then one to D; no batch norm. w is the largest that fits, the same for all
    tables. Stores the networks; a table whose rows take no more than its network is kept exactly, in the memory. A
    lookup multiplies by every weight of a network: the more is stored, the slower it is.

    Args:
        num_hashes: of an id; None for w. (The paper's 1024 leave the rest of the network nothing in a small budget.)
        depth: layers before the last.
        activation: "relu", or the paper's "mish", for which a lookup on a CPU takes about twice as long.
    """

    num_hashes: int | None = None
    depth: int = 2
    activation: str = "relu"

    def __post_init__(self) -> None:
        if self.num_hashes is not None:
            whole_number("num_hashes", self.num_hashes, at_least=1)
        whole_number("depth", self.depth, at_least=1)
        one_of("activation", self.activation, ACTIVATIONS)

    def place(self, tables: Sequence[Table], budget: Budget, seed: int) -> Placement:
        def stored(width: int) -> tuple[int, int]:
            deep = [self._is_deep(t, width, budget) for t in tables]
            slots = sum((t.num_embeddings or 0) * t.embedding_dim for t, d in zip(tables, deep, strict=True) if not d)
            return slots, sum(self._weights(t, width) for t, d in zip(tables, deep, strict=True) if d)

        slots, weights = stored(1)
        budget.require(slots, "networks of width 1", weights)
        width = bisect_right(range(1, LARGEST_WIDTH + 1), False, key=lambda w: not budget.holds(*stored(w)))
        deep = [self._is_deep(t, width, budget) for t in tables]
        if not any(deep):
            return Full().place(tables, budget, seed)
        shape = (self.num_hashes or width, *[width] * self.depth)
        keys = [hashing.mixing_key(seed, number) for number in range(len(tables))]
        return _placed(tables, deep, Networks(tables, deep, shape, keys, self.activation))

    def _is_deep(self, table: Table, width: int, budget: Budget) -> bool:
        if table.num_embeddings is None:
            return True
        exact = budget.bytes_of(table.num_embeddings * table.embedding_dim, 0)
        return exact > budget.bytes_of(0, self._weights(table, width))

    def _weights(self, table: Table, width: int) -> int:
        inner = (self.num_hashes or width) + (self.depth - 1) * width + self.depth
        return inner * width + (width + 1) * table.embedding_dim


def _placed(tables: Sequence[Table], deep: Sequence[bool], networks: Networks) -> Placement:
    """Exact rows side by side; a piece that counts for nothing where there is a network. No piece without such rows."""
    if all(deep):
        return Placement(tuple(() for _ in tables), 0, networks)
    base, pieces = 0, []
    for table, is_deep in zip(tables, deep, strict=True):
        n, width = (1, 1) if is_deep else (table.num_embeddings or 1, table.embedding_dim)
        pieces.append((exact_rows(table, n, 0 if is_deep else base, width),))
        base += 0 if is_deep else n * width
    return Placement(tuple(pieces), base, networks)
