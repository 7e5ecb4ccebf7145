"""The synthetic twin of a click log: Criteo's layout, heavy-tailed ids, clicks from a model we know."""

from __future__ import annotations

import gzip
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from pocketrec import files
from pocketrec.data.planted import AucHistogram, PlantedModel, probability
from pocketrec.data.progress import Progress
from pocketrec.data.synthetic_text import LARGEST_INTEGER, format_lines
from pocketrec.data.system import os_errors_told, processors
from pocketrec.data.tails import CRITEO_CARDINALITIES, HeavyTail, column_sizes
from pocketrec.errors import DataError, UsageError
from pocketrec.hashing import ID_LIMIT

FEATURES, DENSE = len(CRITEO_CARDINALITIES), 13
_BLOCK_ROWS = 1 << 15
_CALIBRATION_BLOCK = 1 << 40  # a block number that no file reaches


@dataclass(frozen=True)
class SynthReport:
    """What was written."""

    rows: int
    distinct_ids: int
    """(column, value) pairs that occur, blanks not counted."""
    click_rate: float
    best_auc: float
    """AUC of the true probabilities against the drawn clicks: no model can do better, but by luck."""
    expected_auc: float
    """The same, over all clicks that might have been drawn."""


def synthesize(
    out_file: str | os.PathLike[str],
    *,
    rows: int,
    distinct_ids: int = 100_000,
    seed: int = 0,
    click_rate: float = 0.25,
    progress: bool = True,
) -> SynthReport:
    """Write a log of `rows` lines in Criteo's layout to `out_file` (.tsv, .txt or .gz); the same for the same seed.

    distinct_ids: about how many distinct values the 26 columns have together (fewer when there are too few rows).
    Raises UsageError for arguments that make no sense, DataError when the file exists.
    """
    path = Path(out_file)
    if rows < 1 or distinct_ids < 2 * FEATURES or not 0 < click_rate < 1:
        raise UsageError(
            f"rows must be at least 1, distinct_ids at least {2 * FEATURES}, click_rate between 0 and 1, "
            f"got {rows}, {distinct_ids}, {click_rate}"
        )
    if not 0 <= seed < ID_LIMIT:
        raise UsageError(f"seed must be in [0, 2^62), got {seed}")
    if distinct_ids > sum(CRITEO_CARDINALITIES):
        raise UsageError(f"distinct_ids must be at most {sum(CRITEO_CARDINALITIES)}, got {distinct_ids}")
    if path.exists():
        raise DataError(f"{path}: exists: delete it or choose another name")
    log = SyntheticLog(seed, rows, distinct_ids, click_rate)
    drawn, expected, clicks = AucHistogram(), AucHistogram(), 0
    seen = [np.zeros(tail.size, bool) for tail in log.tails]
    with (
        os_errors_told(path),
        files.atomic_path(path) as part,
        _opened(part, path) as file,
        Progress("synth", rows, " rows", progress) as line,
    ):
        for block, text in _in_order(log, rows):
            file.write(text)
            drawn.add(block.logits, block.labels.astype(np.float64))
            expected.add(block.logits, probability(block.logits))
            clicks += int(block.labels.sum())
            for feature, marks in enumerate(seen):
                marks[block.ranks[~block.blank[:, feature], feature]] = True
            line.advance(len(block.labels))
    distinct = sum(int(marks.sum()) for marks in seen)
    return SynthReport(rows, distinct, clicks / rows, drawn.auc(), expected.auc())


@dataclass(frozen=True)
class Block:
    """Some lines: B rows."""

    labels: np.ndarray
    """(B,) bool."""
    integers: np.ndarray
    """(B, 13) int64, -1 where blank."""
    ranks: np.ndarray
    """(B, 26) int64."""
    ids: np.ndarray
    """(B, 26) uint32, 0 where blank."""
    blank: np.ndarray
    """(B, 26) bool."""
    logits: np.ndarray
    """(B,) float64, of the true click probability."""


class SyntheticLog:
    """Draws blocks of rows; block k depends only on the arguments and k."""

    def __init__(self, seed: int, rows: int, distinct_ids: int, click_rate: float) -> None:
        self.seed = seed
        sizes = column_sizes(distinct_ids)
        self.tails = [HeavyTail(feature, seed, size, rows) for feature, size in enumerate(sizes)]
        rng = np.random.default_rng([seed, 0])
        # A third of the columns has blanks, as in Criteo.
        self._blank_shares = np.where(rng.random(FEATURES) < 0.33, rng.uniform(0.02, 0.4, FEATURES), 0.0)
        self._missing_shares = np.where(rng.random(DENSE) < 0.4, rng.uniform(0.02, 0.4, DENSE), 0.0)
        self._centers, self._widths = rng.uniform(0.5, 3.5, DENSE), rng.uniform(0.7, 1.5, DENSE)
        self.model = PlantedModel(seed, FEATURES, DENSE)
        self.model.calibrate(self.block(_CALIBRATION_BLOCK, _BLOCK_ROWS).logits, click_rate)

    def block(self, number: int, rows: int) -> Block:
        """`rows` rows."""
        rng = np.random.default_rng([self.seed, 3, number])
        counts = np.exp(self._centers + self._widths * rng.standard_normal((rows, DENSE), np.float32))
        integers = np.minimum(counts, LARGEST_INTEGER).astype(np.int64)
        integers[rng.random((rows, DENSE), np.float32) < self._missing_shares] = -1
        blank = rng.random((rows, FEATURES), np.float32) < self._blank_shares
        ranks = np.empty((rows, FEATURES), np.int64, order="F")
        ids = np.empty((rows, FEATURES), np.uint32, order="F")
        for feature, tail in enumerate(self.tails):
            ranks[:, feature] = tail.ranks(rng.random(rows))
            ids[:, feature] = tail.ids(ranks[:, feature])
        ids[blank] = 0
        logits = self.model.logit(np.log1p(np.maximum(integers, 0)), ids)
        labels = rng.random(rows) < probability(logits)
        return Block(labels, integers, ranks, ids, blank, logits)


def _in_order(log: SyntheticLog, rows: int) -> Iterator[tuple[Block, bytes]]:
    """All blocks and their text, made by threads, in order."""

    def make(number: int) -> tuple[Block, bytes]:
        block = log.block(number, min(_BLOCK_ROWS, rows - number * _BLOCK_ROWS))
        return block, format_lines(block.labels, block.integers, block.ids, block.blank)

    threads = processors()
    waiting: deque[Future[tuple[Block, bytes]]] = deque()
    with ThreadPoolExecutor(threads, "synth") as pool:
        for number in range(-(-rows // _BLOCK_ROWS)):
            waiting.append(pool.submit(make, number))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextmanager
def _opened(part: Path, named: Path) -> Iterator[IO[bytes]]:
    with part.open("wb") as raw:
        if named.suffix == ".gz":
            # Without a time in it, the same seed gives the same bytes.
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=1) as packed:
                yield packed  # type: ignore[misc]
        else:
            yield raw
