"""Ids where some have rows of their own: which those are is learned from batches, as they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pocketrec import hashing
from pocketrec.ops import FeatureLayout
from pocketrec.ops.reference import rows
from pocketrec.sharing.gather import from_all_processes
from pocketrec.sharing.recovery import Recovery
from pocketrec.sharing.sketch import HotSketch, places_of
from pocketrec.sharing.table import Table

if TYPE_CHECKING:
    from pocketrec.sharing.hot_cold import HotCold


class HotIds(Recovery):
    """Hot ids become their place, cold ones themselves, moved past the hot places."""

    adapts = True

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
            # What is looked up but not differentiated yet read other rows; see `Recovery.adapts`.
            memory.index_copy_(0, slots.flatten(), cold.flatten().to(memory.dtype))
