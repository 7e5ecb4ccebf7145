"""Batches from memory maps, in an order that a seed and an epoch determine. B rows per batch, F features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from pocketrec.data.permutation import Permutation
from pocketrec.errors import UsageError

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Batches:
    """Iterates over `(dense (B, n_dense) float32, ids (B, F) int64, labels (B,) float32)`.

    The last batch may be smaller unless `drop_last`. An epoch's order depends on (seed, epoch) alone; `set_epoch`
    with a step goes on exactly where an interrupted run was. Shards are read as one sequence, never as a whole.
    """

    def __init__(
        self,
        *,
        labels: Sequence[Path],
        dense: Sequence[Path],
        sparse: Sequence[Path],
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        features: Sequence[int] | None = None,
    ) -> None:
        """labels, dense, sparse: one .npy file per shard. features: the columns of ids wanted, all unless given.

        Raises UsageError for a batch size below 1.
        """
        if batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, got {batch_size}")
        self.batch_size, self.shuffle, self.seed, self.drop_last = batch_size, shuffle, seed, drop_last
        self._labels, self._dense, self._sparse = (_Sequence(paths) for paths in (labels, dense, sparse))
        self.rows = self._labels.rows
        self._features = slice(None) if features is None else list(features)
        self._epoch, self._start_step = 0, 0

    def __len__(self) -> int:
        """Batches per epoch."""
        return self.rows // self.batch_size if self.drop_last else -(-self.rows // self.batch_size)

    def set_epoch(self, epoch: int, start_step: int = 0) -> None:
        """The next iteration runs epoch `epoch` (from 0), leaving out its first `start_step` batches."""
        if epoch < 0 or not 0 <= start_step <= len(self):
            raise UsageError(f"epoch must be >= 0 and start_step in [0, {len(self)}], got {epoch} and {start_step}")
        self._epoch, self._start_step = epoch, start_step

    def __iter__(self) -> Iterator[Batch]:
        order = Permutation(self.rows, self.seed, self._epoch) if self.shuffle else None
        start, self._start_step = self._start_step, 0
        for step in range(start, len(self)):
            first, end = step * self.batch_size, min((step + 1) * self.batch_size, self.rows)
            yield self._read(order(np.arange(first, end)) if order else range(first, end))

    def _read(self, rows: np.ndarray | range) -> Batch:
        sources = (self._dense, self._sparse, self._labels)
        if isinstance(rows, range):
            # A slice of a memory map is one copy; picking the same rows one by one is many.
            dense, ids, labels = (source.between(rows.start, rows.stop) for source in sources)
        else:
            dense, ids, labels = (source.take(rows) for source in sources)
        return (
            torch.from_numpy(dense.astype(np.float32, copy=False)),
            torch.from_numpy(ids[:, self._features].astype(np.int64, copy=False, order="C")),
            torch.from_numpy(labels.astype(np.float32)),
        )


class _Sequence:
    """Several memory-mapped arrays as one."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._arrays = [np.load(path, mmap_mode="r") for path in paths]
        self._ends = np.cumsum([len(array) for array in self._arrays], dtype=np.int64)
        self.rows = int(self._ends[-1]) if self._arrays else 0

    def between(self, first: int, end: int) -> np.ndarray:
        """Rows `first` to `end` (not included), copied."""
        pieces = [
            array[max(first - start, 0) : max(end - start, 0)]
            for array, start in zip(self._arrays, self._ends - [len(array) for array in self._arrays], strict=True)
        ]
        return np.concatenate([piece for piece in pieces if len(piece)])

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The given rows, in the given order, copied."""
        if len(self._arrays) == 1:
            return np.asarray(self._arrays[0][rows])
        shards = np.searchsorted(self._ends, rows, side="right")
        taken = np.empty((len(rows), *self._arrays[0].shape[1:]), self._arrays[0].dtype)
        for shard in np.unique(shards):
            chosen = shards == shard
            start = self._ends[shard] - len(self._arrays[shard])
            taken[chosen] = self._arrays[shard][rows[chosen] - start]
        return taken
