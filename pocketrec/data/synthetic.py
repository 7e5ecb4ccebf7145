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
from pocketrec.data.planted import AucHistogram, probability
from pocketrec.data.presets import PRESETS
from pocketrec.data.progress import Progress
from pocketrec.data.synthetic_log import BLOCK_ROWS, FEATURES, Block, SyntheticLog, blank_shares, columns_rng
from pocketrec.data.synthetic_text import format_lines
from pocketrec.data.system import os_errors_told, processors
from pocketrec.data.tails import CRITEO_CARDINALITIES, Population, column_sizes
from pocketrec.errors import DataError, UsageError, one_of, real_number, whole_number
from pocketrec.hashing import ID_LIMIT


@dataclass(frozen=True)
class SynthReport:
    """What was written."""

    rows: int
    distinct_ids: int
    """(column, value) pairs that occur, blanks not counted."""
    existing_ids: int
    """(column, value) pairs that might have occurred."""
    click_rate: float
    best_auc: float
    """AUC of the true probabilities against the drawn clicks: no model can do better, but by luck."""
    expected_auc: float
    """The same, over all clicks that might have been drawn."""


def synthesize(
    out_file: str | os.PathLike[str],
    *,
    rows: int,
    distinct_ids: int | None = None,
    preset: str | None = None,
    scale: float | None = None,
    seed: int = 0,
    click_rate: float | None = None,
    progress: bool = True,
) -> SynthReport:
    """Write a log of `rows` lines in Criteo's layout to `out_file` (.tsv, .txt or .gz); the same for the same seed.

    distinct_ids: about how many distinct values the 26 columns have together (fewer when there are too few rows);
        100,000 unless told.
    preset, scale: instead, imitate a public log (`PRESETS`): in as many rows as it has, about as many values of each
        column occur; scale, in (0, 1], makes the large columns smaller (see `Preset.populations`).
    click_rate: share of clicks; the preset's, or 0.25.
    Raises UsageError for arguments that make no sense, DataError when the file exists.
    """
    path = Path(out_file)
    rows = whole_number("rows", rows, at_least=1)
    if not 0 <= seed < ID_LIMIT:
        raise UsageError(f"seed must be in [0, 2^62), got {seed}")
    if preset is None:
        populations, usual_rate = _populations(rows, distinct_ids, scale), 0.25
    else:
        populations, usual_rate = _imitated(preset, distinct_ids, scale, seed)
    click_rate = real_number("click_rate", usual_rate if click_rate is None else click_rate, "(0, 1)")
    if path.exists():
        raise DataError(f"{path}: exists: delete it or choose another name")
    log = SyntheticLog(seed, populations, click_rate)
    drawn, expected, clicks = AucHistogram(), AucHistogram(), 0
    seen = [np.zeros(each.size, bool) for each in populations]
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
    existing = sum(each.size for each in populations)
    return SynthReport(rows, distinct, existing, clicks / rows, drawn.auc(), expected.auc())


def _populations(rows: int, distinct_ids: int | None, scale: float | None) -> list[Population]:
    if scale is not None:
        raise UsageError(f"scale is of a preset, got {scale} and no preset: name one, or say distinct_ids instead")
    most, distinct_ids = sum(CRITEO_CARDINALITIES), 100_000 if distinct_ids is None else distinct_ids
    if not 2 * FEATURES <= distinct_ids <= most:
        raise UsageError(f"distinct_ids must be at least {2 * FEATURES} and at most {most}, got {distinct_ids}")
    return [Population.of(feature, n, rows) for feature, n in enumerate(column_sizes(distinct_ids))]


def _imitated(preset: str, distinct_ids: int | None, scale: float | None, seed: int) -> tuple[list[Population], float]:
    """The populations and the click rate."""
    log = PRESETS[one_of("preset", preset, PRESETS)]
    if distinct_ids is not None:
        raise UsageError(
            f"preset and distinct_ids both say how many values there are, got {preset!r} and {distinct_ids}: leave out "
            "distinct_ids, and use scale for smaller tables"
        )
    scale = real_number("scale", 1.0 if scale is None else scale, "(0, 1]")
    return log.populations(scale, 1.0 - blank_shares(columns_rng(seed))), log.click_rate


def _in_order(log: SyntheticLog, rows: int) -> Iterator[tuple[Block, bytes]]:
    """All blocks and their text, made by threads, in order."""

    def make(number: int) -> tuple[Block, bytes]:
        block = log.block(number, min(BLOCK_ROWS, rows - number * BLOCK_ROWS))
        return block, format_lines(block.labels, block.integers, block.ids, block.blank)

    threads = processors()
    waiting: deque[Future[tuple[Block, bytes]]] = deque()
    with ThreadPoolExecutor(threads, "synth") as pool:
        for number in range(-(-rows // BLOCK_ROWS)):
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
