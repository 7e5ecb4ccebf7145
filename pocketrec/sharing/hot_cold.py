"""Hot and cold ids: rows of their own for the frequent, shared slots for the rest; which are which is learned online.

The idea is that of CAFE (Zhang et al., SIGMOD 2024, arXiv 2312.03256); the cold rows are ROBE's.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pocketrec import hashing
from pocketrec.errors import UsageError, real_number, whole_number
from pocketrec.ops import FeatureLayout
from pocketrec.sharing.budget import Budget, BudgetError
from pocketrec.sharing.hot_ids import HotIds
from pocketrec.sharing.robe import Robe
from pocketrec.sharing.scheme import Placement, Shared
from pocketrec.sharing.sketch import COUNTER_BYTES, ENTRY_BYTES
from pocketrec.sharing.table import Table


@dataclass(frozen=True)
class HotCold(Shared):
    """row(x) = hot[place of x] if x is hot, else cold(x).

    All tables of a width compete for the same hot rows. A sketch counts ids while training, in one pass, and forgets
    slowly, so that the hot ones may change; an id that becomes hot starts from its cold row. (An optimiser's state for
    those slots is then still that of the id before.) Stores the hot rows, 8 bytes a place of the sketch, and the cold
    memory. Compiled training leaves the map as it is. `fit_` fits the cold memory to every row: none is hot before
    training has seen ids.

    Args:
        cold: how the other rows are recovered.
        hot: the part of the budget for hot rows and the sketch.
        ways, candidates: places of a bucket of the sketch, for hot ids and for those that may become hot.
        fading, every: counts keep so much of themselves every so many batches.
    """

    cold: Robe = field(default_factory=Robe)
    hot: float = 0.5
    ways: int = 4
    candidates: int = 2
    fading: float = 0.9
    every: int = 100

    def __post_init__(self) -> None:
        real_number("hot", self.hot, "(0, 1)")
        real_number("fading", self.fading, "(0, 1]")
        for name in ("ways", "candidates", "every"):
            whole_number(name, getattr(self, name), at_least=1)
        if not isinstance(self.cold, Robe) or self.cold.hash == "authors" or self.cold.num_hashes > 1:
            raise UsageError(f"cold: must be a Robe with one hash, 'mixing' or 'linear', got {self.cold}")

    def place(self, tables: Sequence[Table], budget: Budget, seed: int) -> Placement:
        parts = self._parts(tables, budget, seed)
        if parts is None:
            raise BudgetError(budget, self._least(tables, budget, seed), f"{self.ways} hot rows a width, and cold ones")
        buckets, cold = parts
        first_slot, hot_slots = {}, 0
        for dim, number in buckets.items():
            first_slot[dim] = hot_slots
            hot_slots += number * self.ways * dim
        pieces = [
            (self._beside(layout, hot_slots, buckets[t.embedding_dim] * self.ways, first_slot[t.embedding_dim]),)
            for t, (layout,) in zip(tables, cold.pieces, strict=True)
        ]
        return Placement(tuple(pieces), hot_slots + cold.slots, HotIds(self, tables, buckets, pieces, seed))

    def _least(self, tables: Sequence[Table], budget: Budget, seed: int) -> int:
        """Slots that do, where so many do not."""

        def fits(slots: int) -> bool:
            return self._parts(tables, replace(budget, slots=slots), seed) is not None

        sizes = range(budget.slots + 1, hashing.SLOT_LIMIT)
        return sizes[bisect_left(sizes, True, key=fits)]

    def _parts(self, tables: Sequence[Table], budget: Budget, seed: int) -> tuple[dict[int, int], Placement] | None:
        """Buckets for each width, and the cold part, in what these leave; None where the budget is too small."""
        buckets = self._buckets(tables, budget)
        beside = COUNTER_BYTES + ENTRY_BYTES * (self.ways + self.candidates) * sum(buckets.values())
        hot_slots = sum(number * self.ways * dim for dim, number in buckets.items())
        try:
            left = Budget(budget.after(beside).slots - hot_slots, budget.slot_bytes)
            return (buckets, self.cold.place(tables, left, seed)) if all(buckets.values()) else None
        except BudgetError:
            return None

    def _buckets(self, tables: Sequence[Table], budget: Budget) -> dict[int, int]:
        """A part of the hot bytes for each width, as large as its tables' part of all columns."""
        columns = sum(t.embedding_dim for t in tables)
        found = {}
        for dim in sorted({t.embedding_dim for t in tables}):
            own = [t for t in tables if t.embedding_dim == dim]
            each = self.ways * dim * budget.slot_bytes + ENTRY_BYTES * (self.ways + self.candidates)
            room = int(self.hot * budget.bytes * dim * len(own) / columns / each)
            ids = [t.id_limit for t in own]
            found[dim] = min(room, -(-sum(ids) // self.ways))
        return found

    @staticmethod
    def _beside(cold: FeatureLayout, hot_slots: int, hot_rows: int, first_slot: int) -> FeatureLayout:
        ids = min(cold.num_embeddings + hot_rows, hashing.ID_LIMIT)
        return cold._replace(base=cold.base + hot_slots, num_embeddings=ids, exact=hot_rows, exact_base=first_slot)
