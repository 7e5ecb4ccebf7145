"""A click log -> a file of scores: streaming, in flat memory, and going on where a killed run stopped.

Blocks of the file are parsed and scored by a pool of threads (Polars, NumPy and the engines let go of the interpreter
lock) and kept in order, a part at a time; in the end the parts become one file, which appears whole.
"""

from __future__ import annotations

import os
import sys
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pocketrec import files
from pocketrec.artifact import Artifact
from pocketrec.data.claim import check_inputs
from pocketrec.data.layout import Layout
from pocketrec.data.progress import Progress
from pocketrec.data.rows import BadRows
from pocketrec.data.source import Source, open_source
from pocketrec.data.system import os_errors_told, processors
from pocketrec.errors import DataError, UsageError, one_of, whole_number
from pocketrec.runtime.area import Area
from pocketrec.runtime.known import KnownValues
from pocketrec.runtime.log_layout import layout_for
from pocketrec.runtime.model import Model, load
from pocketrec.runtime.unfinished import Unfinished

BLOCK_BYTES = 4 << 20
"""Text that one thread works on at a time."""
PART_ROWS = 1 << 18
"""Rows scored between two parts: about as much work as a kill costs, some seconds."""
_Scored = tuple[np.ndarray, np.ndarray, np.ndarray]
"""(rows, scores, labels) of one block."""


@dataclass(frozen=True)
class Report:
    """What was written."""

    rows: int
    """Scored."""
    fresh: int
    """Of them, those scored by this call; the others an earlier one left that was killed."""
    skipped: dict[str, int]
    """Rule -> rows left out for breaking it."""
    labelled: int
    """Of the rows scored, those that had a label."""
    auc: float
    """On them, see `Area.auc`; NaN where there are not both clicks and others."""
    known: float
    """Share of the values that the model learned, in a sample of the rows scored by this call: `KnownValues.share`."""
    strange: tuple[str, ...]
    """Features of whose values, in that sample, the model knows next to none."""


def score_file(
    artifact: str | os.PathLike[str] | Artifact,
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    format: str | None = None,
    label: str | None = None,
    separator: str | None = None,
    on_bad_row: str = "stop",
    engine: str = "auto",
    workers: int | None = None,
    progress: bool = True,
) -> Report:
    """Score every row of a click log.

    artifact: written by `pocketrec export`.
    path: a log such as `pocketrec prepare` reads (Criteo, CSV, Parquet, .gz), with the columns of the model.
    out: a new .parquet or .csv: `row`, the place of the row in the file, from 0 (a header does not count, bad rows do),
        and `score`, the probability of a click.
    format, label, separator: see `layout_for`. on_bad_row: `stop` at the first, or `skip`.
    engine: see `load`, which is told that batches will be scored.
    workers: threads, as many as processors unless given.

    Killed half-way, the same call goes on; one with another artifact or log says so on stderr and starts anew. Raises
    UsageError for arguments, DataError for what the files hold.
    """
    path, out = Path(path), Path(out)
    one_of("on_bad_row", on_bad_row, ("stop", "skip"))
    if out.suffix not in (".parquet", ".csv"):
        raise UsageError(f"out: scores are written as .parquet or .csv, got {out.name!r}")
    workers = whole_number("workers", processors() if workers is None else workers, at_least=1)
    (about,) = check_inputs([path])
    if out.exists():
        raise DataError(f"{out}: exists: delete it or choose another --out")
    model = load(artifact, engine, threads=1, batches=True)
    layout = layout_for(path, model.recipe, format=format, label=label, separator=separator)
    plan = {"artifact": model.artifact.sha256, "log": asdict(about), "format or columns": _told(layout)}
    with os_errors_told(out), closing(Unfinished(out, plan)) as unfinished:
        _tell_earlier(out, unfinished, on_bad_row)
        with Progress("score", about.bytes, "B", progress) as line:
            source = open_source(path, layout, line.advance)
            scoring = _Scoring(source, model, unfinished, on_bad_row == "skip", line)
            fresh = scoring.run(workers)
        report = _finish(unfinished, out, bool(layout.label), fresh, scoring.known)
        unfinished.remove()
    return report


def _told(layout: Layout) -> dict[str, Any]:
    """As JSON has it: lists for tuples."""
    return {name: list(each) if isinstance(each, tuple) else each for name, each in asdict(layout).items()}


def _tell_earlier(out: Path, unfinished: Unfinished, on_bad_row: str) -> None:
    """Say what becomes of what an earlier run left. Raises DataError where it skipped rows and this one must stop."""
    state = unfinished.state
    if state.skipped and on_bad_row == "stop":
        told = "; ".join(f"{n} x {rule}" for rule, n in state.skipped.items())
        raise DataError(
            f"{out}: an earlier score with on_bad_row='skip' left out rows ({told}), this one is to stop at the first: "
            f"go on with --on-bad-row skip, or delete {unfinished.folder} to start anew"
        )
    if state.parts:
        print(f"{out}: going on where an earlier score stopped", file=sys.stderr)
    elif unfinished.dropped:
        print(f"{out}: starting anew: {unfinished.dropped}", file=sys.stderr)


class _Scoring:
    """One file on its way."""

    def __init__(self, source: Source, model: Model, unfinished: Unfinished, skip: bool, line: Progress) -> None:
        self.source, self.model, self.unfinished, self.skip, self.line = source, model, unfinished, skip, line
        self.known = KnownValues(model.artifact)

    def run(self, workers: int) -> int:
        """Score what is not done: so many rows. Raises DataError for a bad row unless they are to be skipped."""
        state, gathered, rows, fresh = self.unfinished.state, list[_Scored](), 0, 0
        bad, end = BadRows(Counter(state.skipped)), state.rows_read
        self.line.add_rows(end)
        for scored, block_bad, known, end in self._in_order(workers):
            bad.merge(block_bad)
            self.known.add(known)
            if not self.skip:
                block_bad.stop(self.source.path, self.source.unit)
            gathered.append(scored)
            rows += len(scored[0])
            self.line.add_rows(len(scored[0]))
            if rows >= PART_ROWS:
                self.unfinished.add(gathered, end, dict(bad.reasons))
                gathered, rows, fresh = [], 0, fresh + rows
        if gathered:
            self.unfinished.add(gathered, end, dict(bad.reasons))
        return fresh + rows

    def _in_order(self, workers: int) -> Iterator[tuple[_Scored, BadRows, np.ndarray, int]]:
        """The blocks that are not done, worked on by a pool, with the number of rows up to the end of each."""
        done = self.unfinished.state.rows_read
        waiting: deque[tuple[Future[tuple[_Scored, BadRows, np.ndarray]], int]] = deque()
        with ThreadPoolExecutor(workers, "score") as pool:
            try:
                for block in self.source.blocks(BLOCK_BYTES):
                    end = _end_of(block)
                    if end <= done:
                        continue
                    waiting.append((pool.submit(self._work, block, done), end))
                    if len(waiting) > workers:
                        future, end = waiting.popleft()
                        yield *future.result(), end
                while waiting:
                    future, end = waiting.popleft()
                    yield *future.result(), end
            finally:
                for future, _ in waiting:
                    future.cancel()

    def _work(self, block: Any, done: int) -> tuple[_Scored, BadRows, np.ndarray]:
        rows = self.source.parse(block)
        scores = self.model.score(rows.dense, rows.sparse)
        fresh = slice(int(np.searchsorted(rows.numbers, done)), None)
        known = self.known.count(rows.sparse[fresh])
        return (rows.numbers[fresh], scores[fresh], rows.labels[fresh]), rows.bad, known


def _end_of(block: Any) -> int:
    """Rows of the file up to the end of a block, of text or Parquet."""
    if isinstance(block, tuple):
        first, frame = block
        return int(first + len(frame))
    return int(block.first_row + block.rows)


def _finish(unfinished: Unfinished, out: Path, labels: bool, fresh: int, known: KnownValues) -> Report:
    """Parts -> `out`. Raises DataError where no row was good."""
    area, rows = Area(), 0
    for part in map(pl.read_parquet, unfinished.paths):
        rows += len(part)
        if labels:
            labelled = part.filter(pl.col("label") >= 0)
            area.add(labelled["score"].to_numpy(), labelled["label"].to_numpy())
    skipped = unfinished.state.skipped
    if not rows:
        unfinished.remove()
        told = "; ".join(f"{n} x {rule}" for rule, n in skipped.items()) or "the file holds no rows"
        raise DataError(f"{out}: no row to score ({told}): is the format right (--format)?")
    scores = pl.scan_parquet(unfinished.paths).select("row", "score")
    with files.atomic_path(out) as whole:
        if out.suffix == ".parquet":
            scores.sink_parquet(whole)
        else:
            scores.sink_csv(whole, check_extension=False)
    return Report(rows, fresh, skipped, area.rows, area.auc(), known.share, known.strange)
