"""Which ids come most often, learned in one pass: buckets of counted keys, in fixed memory.

Every id belongs to one bucket. A bucket has `ways` places for hot ids and some for candidates, each a 31-bit
fingerprint and a count that fades. A candidate's count falls whenever another new id falls into its bucket, and at
nothing the new id takes its place (Misra & Gries, 1982); a candidate that comes oftener than the rarest hot id changes
places with it. CAFE (Zhang et al., SIGMOD 2024, arXiv 2312.03256) finds hot ids by such a sketch; its replacement rule
is another.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pocketrec import hashing

ENTRY_BYTES = 8  # a fingerprint and a count
COUNTER_BYTES = 8  # of batches
_FINGERPRINTS = (1 << 31) - 1


class HotSketch(nn.Module):
    """Counted keys of `buckets` buckets; 0 is an empty place.

    Args:
        buckets: how many.
        ways: places for hot ids in each.
        candidates: places for ids that may become hot.
        fading: what a count keeps of itself every `every` batches.
        every: see there.
    """

    keys: Tensor
    counts: Tensor
    batches: Tensor

    def __init__(self, buckets: int, ways: int, candidates: int, fading: float, every: int) -> None:
        super().__init__()
        self.ways, self.fading, self.every = ways, fading, every
        places = ways + candidates
        self.register_buffer("keys", torch.zeros(buckets, places, dtype=torch.int32))
        self.register_buffer("counts", torch.zeros(buckets, places, dtype=torch.int32))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def reset(self) -> None:
        """Forget everything."""
        for buffer in self.buffers():
            buffer.zero_()

    def find(self, buckets: Tensor, fingerprints: Tensor) -> Tensor:
        """The hot place of each id among all, bucket * ways + way; -1 where it is not hot."""
        hits = self.keys[buckets, : self.ways] == fingerprints[..., None]
        return torch.where(hits.any(-1), buckets * self.ways + hits.int().argmax(-1), -1)

    def learn(self, buckets: Tensor, fingerprints: Tensor) -> tuple[Tensor, Tensor]:
        """Count a batch (n,); returns the positions in it of ids that have just become hot, and their places."""
        self._fade()
        keys, positions, counts = _distinct(buckets, fingerprints)
        of_bucket, of_key = keys >> 31, (keys & _FINGERPRINTS).int()
        hits = self.keys[of_bucket] == of_key[:, None]
        found = hits.any(1)
        self.counts.index_put_((of_bucket[found], hits[found].int().argmax(1)), counts[found], accumulate=True)
        self._enter(*(t[~found] for t in (of_bucket, of_key, counts)))
        return self._promote(of_bucket, of_key, positions)

    def _fade(self) -> None:
        self.batches += 1
        if int(self.batches) % self.every == 0:
            self.counts.copy_((self.counts * self.fading).int())

    def _enter(self, buckets: Tensor, keys: Tensor, counts: Tensor) -> None:
        """New ids against the weakest candidate of their bucket; of several in a batch, the most frequent."""
        order = counts.argsort(stable=True)
        order = order[buckets[order].argsort(stable=True)]
        buckets, keys, counts = buckets[order], keys[order], counts[order]
        last = torch.ones_like(buckets, dtype=torch.bool)
        last[:-1] = buckets[1:] != buckets[:-1]
        buckets, keys, counts = buckets[last], keys[last], counts[last]
        held, place = self.counts[buckets, self.ways :].min(1)
        place += self.ways
        wins = counts > held
        self.counts[buckets, place] = torch.where(wins, counts - held, held - counts)
        self.keys[buckets, place] = torch.where(wins, keys, self.keys[buckets, place])

    def _promote(self, buckets: Tensor, keys: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """A bucket's best candidate changes places with its rarest hot id if it beats it, and the batch has it."""
        best, candidate = self.counts[:, self.ways :].max(1)
        candidate += self.ways
        least, way = self.counts[:, : self.ways].min(1)
        rises = best[buckets] > least[buckets]
        rises &= self.keys[buckets, candidate[buckets]] == keys
        buckets, positions = buckets[rises], positions[rises]
        up, down = (buckets, candidate[buckets]), (buckets, way[buckets])
        for of_place in (self.keys, self.counts):
            of_place[up], of_place[down] = of_place[down], of_place[up]
        return positions, buckets * self.ways + way[buckets]


def _distinct(buckets: Tensor, fingerprints: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The distinct (bucket, fingerprint) pairs of a batch as one number each, a position of each, and how often."""
    pairs, order = ((buckets << 31) | fingerprints.long()).sort(stable=True)
    keys, counts = torch.unique_consecutive(pairs, return_counts=True)
    return keys, order[counts.cumsum(0) - counts], counts.int()


def places_of(ids: Tensor, key: Tensor, first: Tensor, buckets: Tensor) -> tuple[Tensor, Tensor]:
    """The bucket and fingerprint of each id: `key`, `first` bucket and number of `buckets` are those of its table."""
    hashed = hashing.mixing_hash(ids, 0, key)
    return first + hashing.scale(hashed, buckets), (hashed & _FINGERPRINTS).clamp(min=1).int()
