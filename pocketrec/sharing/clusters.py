"""The recovery of clustered compositional embeddings: pointers, hashes, and the clustering that makes both anew."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from pocketrec import hashing
from pocketrec.ops import FeatureLayout, reference
from pocketrec.sharing.gather import from_first_process_
from pocketrec.sharing.k_means import k_means, nearest
from pocketrec.sharing.recovery import PADDED, Recovery
from pocketrec.sharing.terms import STEP

if TYPE_CHECKING:
    from pocketrec.sharing.clustered import Clustered

COUNTER_BYTES = 16
_HALF = hashing.ID_LIMIT >> 1
_BLOCK = 1 << 18
"""Ids pointed at once."""


def pointer_type(k: int) -> torch.dtype:
    """The smallest that holds k centroids, at most 32,768."""
    return torch.uint8 if k <= 256 else torch.int16


class Pointed(NamedTuple):
    """A table whose ids point to centroids."""

    first: int  # row of `pointers` of its id 0
    rows: int
    key: int  # of its first pointers
    columns: tuple[FeatureLayout, ...]  # in each: k centroids, then m hashed rows


class Clusters(Recovery):
    """ids -> (centroid, id to be hashed) of each column; ids of exact tables -> (themselves, nothing).

    `pointers` are learned, C an id; they start as hashes. `counters` are the training batches seen and the clusterings
    done. After r clusterings the lookup hashes id x as x xor salt(r), which is 2^61 at least and so no centroid's.
    """

    terms, adapts = 2, True

    pointers: Tensor
    counters: Tensor
    first: Tensor

    def __init__(self, scheme: Clustered, k: int, m: int, tables: Sequence[Pointed | None]) -> None:
        super().__init__()
        self.scheme, self.k, self.m = scheme, k, m
        self.splits = scheme.columns
        self._pointed = [table for table in tables if table]
        self._quiet, self.some_exact = 0, not all(tables)
        self.constant("sizes", [k, m])
        self.constant("first", [-1 if table is None else table.first for table in tables])
        total = sum(table.rows for table in self._pointed)
        self.register_buffer("pointers", torch.zeros(total, self.splits, dtype=pointer_type(k)))
        self.register_buffer("counters", torch.zeros(2, dtype=torch.int64))

    def translate(self, ids: Tensor, tables: Tensor) -> tuple[Tensor, Tensor | None]:
        first, hashed = self.first[tables], self._salted(ids)
        places = first + ids
        if self.some_exact:
            exact = first < 0
            places, hashed = torch.where(exact, 0, places), torch.where(exact, PADDED, hashed)
        # index_select: `pointers[places]` takes five times as long.
        pointers = self.pointers.index_select(0, places.flatten()).view(*ids.shape, self.splits).long()
        if self.some_exact:
            pointers = torch.where(exact[..., None], ids[..., None], pointers)
        return torch.stack([pointers, hashed[..., None].expand_as(pointers)], -1), None

    def _salted(self, ids: Tensor) -> Tensor:
        """What is hashed in place of each id, until the next clustering."""
        return ids ^ (self.counters[1] * STEP & _HALF - 1 | _HALF)

    @torch.no_grad()
    def reset(self, memory: Tensor | None, bound: float) -> None:
        """Pointers are hashes again; the two terms of a sum start so small that it is spread as other rows are."""
        super().reset(memory, bound)
        assert memory is not None
        self._quiet = 0
        self.counters.zero_()
        columns = torch.arange(self.splits, device=memory.device)
        for table in self._pointed:
            for ids in self._blocks(table):
                hashed = hashing.scale(hashing.mixing_hash(ids[:, None], columns, table.key), self.k)
                self.pointers[table.first + ids] = hashed.to(self.pointers.dtype)
            for column in range(self.splits):
                self._rows(memory, table, column).mul_(math.sqrt(0.5))

    def _load_from_state_dict(self, *args: Any) -> None:
        self._quiet = 0
        super()._load_from_state_dict(*args)

    def adapt_(self, memory: Tensor | None, ids: Tensor, tables: Tensor) -> None:
        """Count the batch; cluster first where that is due. Counters are read, for which a device waits, only then."""
        assert memory is not None
        if not self._quiet:
            self._quiet = self._look(memory)
        self._quiet -= 1
        self.counters[0] += 1

    def _look(self, memory: Tensor) -> int:
        """In how many batches to look again."""
        batches, done = self.counters.tolist()
        due = (done + 1) * self.scheme.every
        if done >= self.scheme.times:
            return 1 << 62
        if batches < due:
            return due - batches
        self.cluster_(memory)
        return 1

    @torch.no_grad()
    def cluster_(self, memory: Tensor) -> None:
        """Cluster every column of every table now, whatever is due.

        What was looked up before, and is not differentiated yet, gives its gradients to the slots it was read from; for
        weights that learn, whose gradients are the rows, autograd refuses.
        """
        done = int(self.counters[1])
        for table in self._pointed:
            for column in range(self.splits):
                self._cluster(memory, table, column, done)
        self.counters[1] += 1
        from_first_process_(memory, self.pointers.view(torch.uint8))

    def _cluster(self, memory: Tensor, table: Pointed, column: int, done: int) -> None:
        seed = hashing.mixing_key(table.key, done * self.splits + column)
        generator = torch.Generator(memory.device).manual_seed(seed)
        ids, seen = torch.arange(table.rows, device=memory.device), max(self.scheme.sample, 2 * self.k)
        if seen < table.rows:
            ids = torch.randint(table.rows, (seen,), generator=generator, device=memory.device)
        centroids = k_means(self._recovered(memory, table, column, ids), self.k, generator)
        for ids in self._blocks(table):
            recovered = self._recovered(memory, table, column, ids)
            self.pointers[table.first + ids, column] = nearest(recovered, centroids)[0].to(self.pointers.dtype)
        rows = self._rows(memory, table, column)
        rows[: self.k] = centroids
        rows[self.k :] = 0

    def _recovered(self, memory: Tensor, table: Pointed, column: int, ids: Tensor) -> Tensor:
        """What the ids' rows are in one column."""
        layout, pointers = table.columns[column], self.pointers[table.first + ids, column].long()
        return reference.rows(memory, layout, pointers) + reference.rows(memory, layout, self._salted(ids))

    def _rows(self, memory: Tensor, table: Pointed, column: int) -> Tensor:
        """k centroids, and m hashed rows."""
        own = table.columns[column]
        return memory[own.exact_base : own.base + own.span].view(-1, own.dim)

    def _blocks(self, table: Pointed) -> Iterator[Tensor]:
        for first in range(0, table.rows, _BLOCK):
            yield torch.arange(first, min(first + _BLOCK, table.rows), device=self.pointers.device)
