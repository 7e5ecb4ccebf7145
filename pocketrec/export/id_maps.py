"""Ids policies inside a graph: raw ids of a model's features -> the ids that its embeddings see."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from pocketrec import hashing
from pocketrec.data.ids import UNSEEN_ID, FilteredIds, Ids, RankedVocabulary, RawIds, Vocabulary
from pocketrec.errors import UsageError
from pocketrec.export.dialects import Dialect, Hash


def id_map(ids: Ids, columns: Sequence[int], dialect: Dialect) -> nn.Module:
    """The policy for the features that are the log's `columns`; a module, (B, F) int64 -> (B, F) int64.

    Raises:
        UsageError: a policy of another kind.
    """
    if isinstance(ids, RawIds):
        return nn.Identity()
    if isinstance(ids, FilteredIds):
        return Filter(ids, columns, dialect)
    if isinstance(ids, Vocabulary):
        return Search([ids.kept[c] for c in columns], None, dialect)
    if isinstance(ids, RankedVocabulary):
        return Search([ids._sorted.kept[c] for c in columns], [ids._row_of_place[c] for c in columns], dialect)
    raise UsageError(f"ids: a graph knows the policies raw, filtered, vocabulary and ranked, got {type(ids).__name__}")


class Filter(nn.Module):
    """A Bloom filter: what it does not hold becomes `UNSEEN_ID`. Its bytes are those of `FilteredIds`."""

    bits: Tensor

    def __init__(self, ids: FilteredIds, columns: Sequence[int], dialect: Dialect) -> None:
        super().__init__()
        self.dialect, self.hash = dialect, Hash(dialect)
        self.probes, self.places = ids.probes, 8 * len(ids.bits)
        self.keys = [hashing.mixing_key(ids.seed, column) for column in columns]
        self.register_buffer("bits", torch.from_numpy(ids.bits))

    def forward(self, ids: Tensor) -> Tensor:
        """(B, F) -> (B, F)."""
        first = self.hash.mix64(self.hash.mix64(ids * hashing.ID_STEP + torch.tensor(self.keys)))
        second = self.hash.mix64(first) | 1
        hashed = first[..., None] + second[..., None] * torch.arange(self.probes)
        scaled = self.dialect.shift_right(hashed, 32) * self.places  # a place is the upper half
        byte = self.dialect.take(self.bits, self.dialect.shift_right(scaled, 35))
        held = self.dialect.bit(byte, self.dialect.shift_right(scaled, 32))
        return torch.where(held.amin(-1).bool(), ids, UNSEEN_ID)


class Search(nn.Module):
    """A vocabulary: row 0 for what it does not hold. All features are searched at once, in the largest one's steps.

    `kept` are the ascending ids of all features, one after the other, behind a number that nobody asks for; `rows`, of
    a ranked vocabulary, the row of each.
    """

    kept: Tensor
    rows: Tensor | None

    def __init__(self, kept: Sequence[np.ndarray], rows: Sequence[np.ndarray] | None, dialect: Dialect) -> None:
        super().__init__()
        self.dialect = dialect
        self.sizes = [len(ids) for ids in kept]
        ids = np.concatenate([np.zeros(1, kept[0].dtype), *kept])
        self.register_buffer("kept", torch.from_numpy(ids))
        ranks = None
        if rows is not None:
            ranks = torch.from_numpy(np.concatenate([[0], *(own[1:] for own in rows)]).astype(np.int32))
        self.register_buffer("rows", ranks)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, F) -> (B, F)."""
        firsts = torch.tensor([sum(self.sizes[:f]) for f in range(len(self.sizes))])
        place, left = firsts.expand_as(ids), list(self.sizes)
        while max(left) > 0:
            # Of n that follow a place, half are passed over where the last of these is still no larger than the id.
            ahead = place + torch.tensor([(n + 1) // 2 for n in left])
            passes = self.dialect.take(self.kept, ahead).long() <= ids
            place = torch.where(passes, ahead, place)
            left = [n // 2 for n in left]
        # At its feature's first place, before which another feature's ids lie, an id has found nothing: row 0.
        row = torch.where(self.dialect.take(self.kept, place).long() == ids, place - firsts, 0)
        return row if self.rows is None else torch.where(row > 0, self.dialect.take(self.rows, place).long(), 0)
