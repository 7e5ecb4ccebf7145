"""One input file -> one shard: three arrays per split, and the counts of its training ids.

Blocks are read in order, worked on by a pool of threads (Polars and NumPy let go of the interpreter lock) and written
in order: the result does not depend on the number of workers.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pocketrec.data.layout import Layout
from pocketrec.data.manifest import FileInfo, Shard, shard_name
from pocketrec.data.npy import NpyAppender, file_sha256
from pocketrec.data.progress import Progress
from pocketrec.data.rows import BadRows, Rows
from pocketrec.data.runs import RunCounter, RunFile, count_values
from pocketrec.data.source import Source
from pocketrec.data.split import SPLITS, Split
from pocketrec.errors import DataError

LABEL_DTYPE = "int8"


@dataclass(frozen=True)
class Workshop:
    """What all shards of one `prepare` share."""

    folder: Path
    """The output folder."""
    scratch: Path
    """Where counts are spilled."""
    layout: Layout
    split: Split
    skip_bad_rows: bool
    pool: Executor
    window: int
    """Blocks of one file in memory at a time."""
    block_bytes: int
    """Size of a block as text."""
    budget_bytes: int
    """Memory for the counts of one file."""
    stopped: threading.Event
    """Set when another file failed."""


class Stopped(Exception):
    """Another file failed; this one gives up."""


def write_shard(index: int, source: Source, shop: Workshop, progress: Progress) -> tuple[Shard, list[RunFile]]:
    """Read all of `source`; returns the finished shard and its counts. Raises DataError."""
    layout, bad = shop.layout, BadRows()
    counter = RunCounter(
        len(layout.categorical), layout.id_dtype, shop.scratch, f"counts_{index:05d}", shop.budget_bytes
    )
    with ExitStack() as stack:
        writers = {
            (split, kind): stack.enter_context(NpyAppender(shop.folder / shard_name(split, index, kind), dtype, shape))
            for split in SPLITS
            for kind, dtype, shape in array_kinds(layout)
        }
        empty = True
        for parts, runs, block_bad in _worked(index, source, shop):
            empty = False
            bad.merge(block_bad)
            if not shop.skip_bad_rows:
                bad.stop(source.path, source.unit)
            for split, arrays in parts.items():
                for (kind, _, _), array in zip(array_kinds(layout), arrays, strict=True):
                    writers[split, kind].append(array)
            counter.add(runs)
            progress.add_rows(sum(len(arrays[0]) for arrays in parts.values()))
        if empty:
            raise DataError(f"{source.path}: the file holds no rows: leave it out, or write it again")
    rows = {split: writers[split, "labels"].rows for split in SPLITS}
    written = [writer.path for writer in writers.values() if writer.rows]
    described = {path.name: FileInfo(path.stat().st_size, file_sha256(path)) for path in written}
    return Shard(index, rows, described, dict(bad.reasons)), counter.finish()


def array_kinds(layout: Layout) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
    """(kind, dtype, shape of a row) of the three arrays of a split."""
    return (
        ("labels", LABEL_DTYPE, ()),
        ("dense", "float32", (len(layout.dense),)),
        ("sparse", layout.id_dtype, (len(layout.categorical),)),
    )


_Worked = tuple[dict[str, tuple[np.ndarray, ...]], list[np.ndarray], BadRows]


def _worked(index: int, source: Source, shop: Workshop) -> Iterator[_Worked]:
    """The blocks of `source`, worked on by the pool, in order."""
    waiting: deque[Future[_Worked]] = deque()
    try:
        for block in source.blocks(shop.block_bytes):
            if shop.stopped.is_set():
                raise Stopped
            waiting.append(shop.pool.submit(_work, index, source, block, shop))
            if len(waiting) >= shop.window:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _work(index: int, source: Source, block: Any, shop: Workshop) -> _Worked:
    rows = source.parse(block)
    if rows.bad.first and not shop.skip_bad_rows:
        return {}, [], rows.bad
    codes = shop.split.assign(index, rows)
    parts = {split: _part(rows, codes == code) for code, split in enumerate(SPLITS)}
    training = codes == 0
    runs = [count_values(rows.sparse[:, j][training]) for j in range(rows.sparse.shape[1])]
    return parts, runs, rows.bad


def _part(rows: Rows, chosen: np.ndarray) -> tuple[np.ndarray, ...]:
    # Row-major while still in the pool, so that the writer only writes.
    return rows.labels[chosen], rows.dense[chosen], np.ascontiguousarray(rows.sparse)[chosen]
