"""All input files -> all shards, several at a time in threads, finished ones kept from an earlier run."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from pocketrec.data.claim import Claim
from pocketrec.data.layout import Layout
from pocketrec.data.manifest import Shard
from pocketrec.data.progress import Progress
from pocketrec.data.runs import BUDGET_BYTES, RunFile
from pocketrec.data.shard import Stopped, Workshop, write_shard
from pocketrec.data.source import open_source
from pocketrec.data.split import Split

BLOCK_BYTES = 16 << 20
IN_FLIGHT_BYTES = 64 << 20
"""Text being worked on at a time, by all workers: memory does not grow with the machine."""


@dataclass(frozen=True)
class Written:
    """What the input files became, in their order."""

    shards: list[Shard]
    runs: list[RunFile]
    """Counts of the training ids of all shards."""
    input_hashes: list[str]


_Result = tuple[Shard, list[RunFile], str]


def write_shards(
    paths: Sequence[Path], layout: Layout, split: Split, claim: Claim, skip: bool, workers: int, progress: bool
) -> Written:
    """Write every shard. Raises the first error of any file, after the others have stopped."""
    for path in paths:
        open_source(path, layout)
    at_once = min(len(paths), workers)
    window = -(-workers // at_once) + 1
    with (
        Progress("prepare", sum(path.stat().st_size for path in paths), "B", progress) as line,
        ThreadPoolExecutor(workers, "prepare") as pool,
        ThreadPoolExecutor(at_once, "file") as readers,
    ):
        shop = Workshop(
            folder=claim.folder,
            scratch=claim.scratch,
            layout=layout,
            split=split,
            skip_bad_rows=skip,
            pool=pool,
            window=window,
            block_bytes=max(1, min(BLOCK_BYTES, IN_FLIGHT_BYTES // (window * at_once))),
            budget_bytes=max(4 << 20, BUDGET_BYTES // at_once),
            stopped=threading.Event(),
        )
        futures = [readers.submit(_one_shard, i, path, shop, claim, line) for i, path in enumerate(paths)]
        try:
            wait(futures)
        finally:
            # Reached early only by an interrupt: let the threads end, or leaving the pools would wait for the files.
            shop.stopped.set()
    results = _results(futures)
    return Written(
        [shard for shard, _, _ in results],
        [run for _, runs, _ in results for run in runs],
        [digest for _, _, digest in results],
    )


def _one_shard(index: int, path: Path, shop: Workshop, claim: Claim, line: Progress) -> _Result:
    try:
        done = claim.finished_shard(index)
        if done:
            line.advance(path.stat().st_size)
            line.add_rows(sum(done[0].rows.values()))
            return done
        source = open_source(path, shop.layout, line.advance)
        shard, runs = write_shard(index, source, shop, line)
        digest = source.sha256()
        claim.mark_finished(shard, runs, digest)
        return shard, runs, digest
    except BaseException:
        shop.stopped.set()
        raise


def _results(futures: Sequence[Future[_Result]]) -> list[_Result]:
    """The results in order, or the error that made the others stop."""
    errors = [error for future in futures if (error := future.exception()) is not None]
    for error in errors:
        if not isinstance(error, Stopped):
            raise error
    return [future.result() for future in futures]
