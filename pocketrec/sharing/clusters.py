"""The recovery of clustered compositional embeddings: pointers, hashes, and the clustering that makes both anew."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from pocketrec import hashing
from pocketrec.ops import FeatureLayout
from pocketrec.ops.reference import accumulator
from pocketrec.sharing.gather import from_first_process_
from pocketrec.sharing.k_means import k_means, nearest
from pocketrec.sharing.recovery import PADDED, Recovery

if TYPE_CHECKING:
    from pocketrec.sharing.clustered import Clustered

COUNTER_BYTES = 16
_BLOCK = 1 << 18
"""Ids pointed at once."""


def pointer_type(k: int) -> torch.dtype:
    """The smallest that holds k centroids, at most 32,768."""
    return torch.uint8 if k <= 256 else torch.int16


class Pointed(NamedTuple):
    """A table whose ids point to centroids."""

    first: int  # row of `pointers` of its id 0
    rows: int
    key: int  # of its hashes
    columns: tuple[FeatureLayout, ...]  # in each: k centroids, then m hashed rows


class Clusters(Recovery):
    """ids -> (centroid, hashed row) of each column; ids of exact tables -> (themselves, nothing).

    `pointers` are learned, C an id; `counters` are the training batches seen and the clusterings done. Round 0 of the
    hash gives the first pointers, round r + 1 the rows of U after r clusterings.
    """

    terms = 2

    pointers: Tensor
    counters: Tensor
    first: Tensor
    keys: Tensor

    def __init__(self, scheme: Clustered, k: int, m: int, tables: Sequence[Pointed | None]) -> None:
        super().__init__()
        self.scheme, self.k, self.m = scheme, k, m
        self.splits = scheme.columns
        self._pointed = [table for table in tables if table]
        self._quiet = 0
        self.constant("sizes", [k, m])
        self.constant("first", [-1 if table is None else table.first for table in tables])
        self.constant("keys", [0 if table is None else table.key for table in tables])
        total = sum(table.rows for table in self._pointed)
        self.register_buffer("pointers", torch.zeros(total, self.splits, dtype=pointer_type(k)))
        self.register_buffer("counters", torch.zeros(2, dtype=torch.int64))

    def translate(self, ids: Tensor, tables: Tensor) -> tuple[Tensor, Tensor | None]:
        first, keys = self.first[tables], self.keys[tables]
        exact = (first < 0)[..., None]
        pointers = self.pointers[torch.where(first < 0, 0, first + ids)].long()
        columns = torch.arange(self.splits, device=ids.device)
        hashed = self._hashed(ids[..., None], keys[..., None], self.counters[1] + 1, columns, self.m)
        of_centroid = torch.where(exact, ids[..., None], pointers)
        of_hash = torch.where(exact, PADDED, self.k + hashed)
        return torch.stack([of_centroid, of_hash], -1), None

    def _hashed(self, ids: Tensor, key: Any, number: Tensor | int, column: Tensor | int, size: int) -> Tensor:
        """Round `number` of the hash, in [0, size)."""
        chunk = torch.as_tensor(number * self.splits + column, device=ids.device)
        hashed: Tensor = hashing.scale(hashing.mixing_hash(ids, chunk, key), size)
        return hashed

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
                hashed = self._hashed(ids[:, None], table.key, 0, columns, self.k)
                self.pointers[table.first + ids] = hashed.to(self.pointers.dtype)
            for column in table.columns:
                memory[column.base : column.base + column.span] *= math.sqrt(0.5)

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

        Rows that were looked up before in the same step give their gradients to the slots they were read from.
        """
        done = int(self.counters[1])
        for table in self._pointed:
            for column in range(self.splits):
                self._cluster(memory.data, table, column, done)
        self.counters[1] += 1
        from_first_process_(memory.data, self.pointers.view(torch.uint8))

    def _cluster(self, memory: Tensor, table: Pointed, column: int, done: int) -> None:
        seed = hashing.mixing_key(table.key, done * self.splits + column)
        generator = torch.Generator(memory.device).manual_seed(seed)
        ids, seen = torch.arange(table.rows, device=memory.device), max(self.scheme.sample, 2 * self.k)
        if seen < table.rows:
            ids = torch.randint(table.rows, (seen,), generator=generator, device=memory.device)
        centroids = k_means(self._recovered(memory, table, column, done, ids), self.k, generator)
        for ids in self._blocks(table):
            recovered = self._recovered(memory, table, column, done, ids)
            self.pointers[table.first + ids, column] = nearest(recovered, centroids)[0].to(self.pointers.dtype)
        rows = self._rows(memory, table, column)
        rows[: self.k] = centroids
        rows[self.k :] = 0

    def _recovered(self, memory: Tensor, table: Pointed, column: int, done: int, ids: Tensor) -> Tensor:
        """What the ids' rows are in one column."""
        rows = self._rows(memory, table, column)
        hashed = self.k + self._hashed(ids, table.key, done + 1, column, self.m)
        pointers = self.pointers[table.first + ids, column].long()
        return (rows[pointers] + rows[hashed]).to(accumulator(memory.dtype))

    def _rows(self, memory: Tensor, table: Pointed, column: int) -> Tensor:
        own = table.columns[column]
        return memory[own.base : own.base + own.span].view(-1, own.dim)

    def _blocks(self, table: Pointed) -> Iterator[Tensor]:
        for first in range(0, table.rows, _BLOCK):
            yield torch.arange(first, min(first + _BLOCK, table.rows), device=self.pointers.device)
