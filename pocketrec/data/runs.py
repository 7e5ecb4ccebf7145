"""Counting distinct values in flat memory: sorted runs of (value, count), spilled to disk, merged by ranges.

An external merge sort. A run is a structured array with fields `id` and `count`, ids ascending and distinct.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BUDGET_BYTES = 48 << 20
MERGE_ROWS = 2 << 20


def run_dtype(id_dtype: str) -> np.dtype:
    """The dtype of a run."""
    return np.dtype([("id", id_dtype), ("count", np.int64)])


def count_values(values: np.ndarray) -> np.ndarray:
    """The run of one array of ids (N,)."""
    ids, counts = np.unique(values, return_counts=True)
    return _run(ids, counts)


def merge(runs: Sequence[np.ndarray]) -> np.ndarray:
    """One run with the counts of several added, in memory."""
    if len(runs) == 1:
        return runs[0]
    ids = np.concatenate([run["id"] for run in runs])
    counts = np.concatenate([run["count"] for run in runs])
    # Timsort: it finds the runs that are already sorted.
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    starts = np.flatnonzero(np.concatenate(([True], ids[1:] != ids[:-1])))[: len(ids)]
    return _run(ids[starts], np.add.reduceat(counts[order], starts) if len(ids) else counts)


def merge_by_ranges(runs: Sequence[np.ndarray], merge_rows: int = MERGE_ROWS) -> Iterator[np.ndarray]:
    """Like `merge`, but yields the result in ascending pieces; reads about `merge_rows` entries at a time."""
    runs = [run for run in runs if len(run)]
    places = [0] * len(runs)
    while runs:
        step = max(1, merge_rows // len(runs))
        # No run has entries up to `bound` beyond its next `step`: all of them can be merged now.
        bound = min(run["id"][min(place + step, len(run)) - 1] for run, place in zip(runs, places, strict=True))
        pieces = []
        for k, run in enumerate(runs):
            window = np.array(run[places[k] : places[k] + step])
            taken = int(np.searchsorted(window["id"], bound, side="right"))
            pieces.append(window[:taken])
            places[k] += taken
        yield merge(pieces)
        left = [k for k, run in enumerate(runs) if places[k] < len(run)]
        runs, places = [runs[k] for k in left], [places[k] for k in left]


@dataclass(frozen=True)
class RunFile:
    """A spilled file: one run per feature, one after the other; `offsets` (F + 1) says where each begins."""

    path: Path
    offsets: tuple[int, ...]

    def run(self, feature: int) -> np.ndarray:
        """The run of one feature, memory-mapped."""
        return np.load(self.path, mmap_mode="r")[self.offsets[feature] : self.offsets[feature + 1]]


class RunCounter:
    """Counts the values of F features, writing to `folder` what does not fit into `budget_bytes`."""

    def __init__(self, features: int, id_dtype: str, folder: Path, stem: str, budget_bytes: int = BUDGET_BYTES) -> None:
        self.dtype, self.folder, self.stem, self.budget_bytes = run_dtype(id_dtype), folder, stem, budget_bytes
        self._runs: list[list[np.ndarray]] = [[] for _ in range(features)]
        self._bytes = 0
        self.spilled: list[RunFile] = []

    def add(self, runs: Sequence[np.ndarray]) -> None:
        """Add one run per feature."""
        for pending, run in zip(self._runs, runs, strict=True):
            pending.append(run)
        self._bytes += sum(run.nbytes for run in runs)
        if self._bytes > self.budget_bytes:
            self._compact()
            # Compacting again and again what hardly shrinks would cost more than writing it.
            if self._bytes > self.budget_bytes // 2:
                self._spill()

    def finish(self) -> list[RunFile]:
        """Write what is left; returns all files written."""
        if self._bytes:
            self._compact()
            self._spill()
        return self.spilled

    def _compact(self) -> None:
        self._runs = [[merge(pending)] if pending else [] for pending in self._runs]
        self._bytes = sum(run.nbytes for pending in self._runs for run in pending)

    def _spill(self) -> None:
        parts = [pending[0] if pending else np.empty(0, self.dtype) for pending in self._runs]
        path = self.folder / f"{self.stem}_{len(self.spilled):05d}.npy"
        np.save(path, np.concatenate(parts))
        self.spilled.append(RunFile(path, (0, *np.cumsum([len(part) for part in parts]).tolist())))
        self._runs = [[] for _ in self._runs]
        self._bytes = 0


def _run(ids: np.ndarray, counts: np.ndarray) -> np.ndarray:
    run = np.empty(len(ids), run_dtype(ids.dtype.str))
    run["id"], run["count"] = ids, counts
    return run
