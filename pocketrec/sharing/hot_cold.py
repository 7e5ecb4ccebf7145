"""Hot and cold ids: rows of their own for the frequent, shared slots for the rest; which are which is learned online.

The idea is that of CAFE (Zhang et al., SIGMOD 2024, arXiv 2312.03256); the cold rows are ROBE's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pocketrec import hashing
from pocketrec.errors import UsageError, real_number, whole_number
from pocketrec.ops import FeatureLayout
from pocketrec.ops.reference import rows
from pocketrec.sharing.budget import Budget
from pocketrec.sharing.gather import from_all_processes
from pocketrec.sharing.recovery import Recovery
from pocketrec.sharing.robe import Robe
from pocketrec.sharing.scheme import Placement, Shared
from pocketrec.sharing.sketch import COUNTER_BYTES, ENTRY_BYTES, HotSketch, places_of
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
        buckets = self._buckets(tables, budget)
        first_slot, hot_slots = {}, 0
        for dim, number in buckets.items():
            first_slot[dim] = hot_slots
            hot_slots += number * self.ways * dim
        left = budget.after(COUNTER_BYTES + ENTRY_BYTES * (self.ways + self.candidates) * sum(buckets.values()))
        cold = self.cold.place(tables, Budget(left.slots - hot_slots, budget.slot_bytes), seed)
        pieces = [
            (self._beside(layout, hot_slots, buckets[t.embedding_dim] * self.ways, first_slot[t.embedding_dim]),)
            for t, (layout,) in zip(tables, cold.pieces, strict=True)
        ]
        return Placement(tuple(pieces), hot_slots + cold.slots, _HotCold(self, tables, buckets, pieces, seed))

    def _buckets(self, tables: Sequence[Table], budget: Budget) -> dict[int, int]:
        """Buckets for each width: a part of the hot bytes as large as its tables' part of all columns."""
        columns = sum(t.embedding_dim for t in tables)
        found = {}
        for dim in sorted({t.embedding_dim for t in tables}):
            own = [t for t in tables if t.embedding_dim == dim]
            each = self.ways * dim * budget.slot_bytes + ENTRY_BYTES * (self.ways + self.candidates)
            room = int(self.hot * budget.bytes * dim * len(own) / columns / each)
            if room < 1:
                least = math.ceil((each * columns / (self.hot * dim * len(own)) + 1) / budget.slot_bytes)
                budget.require(max(least, budget.slots + 1), f"{self.ways} hot rows of width {dim}")
            ids = [t.id_limit for t in own]
            found[dim] = min(room, -(-sum(ids) // self.ways))
        return found

    @staticmethod
    def _beside(cold: FeatureLayout, hot_slots: int, hot_rows: int, first_slot: int) -> FeatureLayout:
        ids = min(cold.num_embeddings + hot_rows, hashing.ID_LIMIT)
        return cold._replace(base=cold.base + hot_slots, num_embeddings=ids, exact=hot_rows, exact_base=first_slot)


class _HotCold(Recovery):
    """Hot ids become their place, cold ones themselves, moved past the hot places."""

    padding_of_table: Tensor
    keys: Tensor
    first_bucket: Tensor
    buckets: Tensor

    def __init__(
        self,
        scheme: HotCold,
        tables: Sequence[Table],
        buckets: dict[int, int],
        pieces: Sequence[tuple[FeatureLayout]],
        seed: int,
    ) -> None:
        super().__init__()
        first = dict(zip(buckets, [0, *torch.tensor([*buckets.values()]).cumsum(0).tolist()], strict=False))
        self.constant("padding_of_table", [t.padding for t in tables])
        self.constant("keys", [hashing.mixing_key(seed, -2 - number) for number in range(len(tables))])
        self.constant("first_bucket", [first[t.embedding_dim] for t in tables])
        self.constant("buckets", [buckets[t.embedding_dim] for t in tables])
        self.sketch = HotSketch(sum(buckets.values()), scheme.ways, scheme.candidates, scheme.fading, scheme.every)
        self._layouts = [layout for (layout,) in pieces]

    @torch.no_grad()
    def reset(self, memory: Tensor | None, bound: float) -> None:
        """No id is hot yet."""
        super().reset(memory, bound)
        self.sketch.reset()

    def translate(self, ids: Tensor, tables: Tensor) -> tuple[Tensor, Tensor | None]:
        buckets, fingerprints = places_of(ids, self.keys[tables], self.first_bucket[tables], self.buckets[tables])
        place = self.sketch.find(buckets, fingerprints) - self.first_bucket[tables] * self.sketch.ways
        return torch.where(place >= 0, place, self._cold(ids, tables))[..., None, None], None

    def _cold(self, ids: Tensor, tables: Tensor) -> Tensor:
        """Past the hot places; the last ids there are come round to the first."""
        hot = self.buckets[tables] * self.sketch.ways
        return hot + ids % (hashing.ID_LIMIT - hot)

    def adapt_(self, memory: Tensor | None, ids: Tensor, tables: Tensor) -> None:
        """Count the batch; ids that become hot take their cold rows with them."""
        assert memory is not None
        tables = tables.expand_as(ids).reshape(-1)
        ids = ids.reshape(-1)
        padding = self.padding_of_table[tables]
        ids, tables = from_all_processes(ids[ids != padding], tables[ids != padding])
        buckets, fingerprints = places_of(ids, self.keys[tables], self.first_bucket[tables], self.buckets[tables])
        positions, _ = self.sketch.learn(buckets, fingerprints)
        ids, tables = ids[positions], tables[positions]
        hot = self.translate(ids, tables)[0].flatten()
        for number in tables.unique().tolist():
            own = tables == number
            layout = self._layouts[number]
            cold = rows(memory, layout, self._cold(ids[own], tables[own]))
            slots = layout.exact_base + hot[own, None] * layout.dim + torch.arange(layout.dim, device=ids.device)
            # Past autograd: a lookup that is not differentiated yet read other rows, and needs none of these.
            memory.data.index_copy_(0, slots.flatten(), cold.flatten().to(memory.dtype))
