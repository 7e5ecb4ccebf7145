"""Which rows train, which validate, which test: by row number, by file or by time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from pocketrec.data.rows import Rows
from pocketrec.errors import UsageError, nearest

SPLITS = ("train", "validation", "test")
TIME_WEIGHTS = (8, 1, 1)


class Split(Protocol):
    """A rule that sends each row to a split."""

    def assign(self, file: int, rows: Rows) -> np.ndarray:
        """(N,) uint8, the position in `SPLITS`, for rows of the input file number `file`."""
        ...

    def may_be_empty(self, split: str) -> bool:
        """True when the rule asks for no rows in `split`."""
        ...


@dataclass(frozen=True)
class RowSplit:
    """Physical row r of each file goes by r modulo the sum of the weights: 8/1/1 is 0..7, 8, 9."""

    weights: tuple[int, int, int]

    def assign(self, file: int, rows: Rows) -> np.ndarray:
        """See `Split`."""
        pattern = np.repeat(np.arange(3, dtype=np.uint8), self.weights)
        return pattern[rows.numbers % len(pattern)]

    def may_be_empty(self, split: str) -> bool:
        """See `Split`."""
        return self.weights[SPLITS.index(split)] == 0


@dataclass(frozen=True)
class FileSplit:
    """Whole files go to one split."""

    splits: tuple[int, ...]

    def assign(self, file: int, rows: Rows) -> np.ndarray:
        """See `Split`."""
        return np.full(len(rows.numbers), self.splits[file], np.uint8)

    def may_be_empty(self, split: str) -> bool:
        """See `Split`."""
        return split != "train" and SPLITS.index(split) not in self.splits


@dataclass(frozen=True)
class TimeSplit:
    """Rows up to `validation_from` train, rows from `test_from` on test; rows of one moment stay together."""

    validation_from: int = 0
    test_from: int = 0

    def assign(self, file: int, rows: Rows) -> np.ndarray:
        """See `Split`."""
        assert rows.times is not None
        bounds = np.array([self.validation_from, self.test_from])
        return np.searchsorted(bounds, rows.times, side="right").astype(np.uint8)

    def may_be_empty(self, split: str) -> bool:
        """See `Split`."""
        return False


def parse_split(text: str, files: Sequence[Path], time_column: str | None) -> Split:
    """Understand `8/1/1`, `file`, `train=a.tsv,b.tsv;validation=c.tsv;test=d.tsv` or `time`.

    `file` alone: the last file tests, the one before validates, the others train. The bounds of a `TimeSplit` are
    still to be found. Raises UsageError.
    """
    if text == "time":
        if time_column is None:
            raise UsageError("split 'time' needs a time column: pass time_column (--time-column)")
        return TimeSplit()
    if time_column is not None:
        raise UsageError(f"a time column is for split 'time', got split {text!r}: leave it out, or ask for that split")
    if text == "file":
        if len(files) < 3:
            raise UsageError(f"split 'file' needs at least 3 files (train, validation, test), got {len(files)}")
        return FileSplit((*[0] * (len(files) - 2), 1, 2))
    if "=" in text:
        return _named_files(text, files)
    return _row_split(text)


def _row_split(text: str) -> RowSplit:
    parts = text.split("/")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        raise UsageError(f"split must be three whole numbers such as 8/1/1, 'file' or 'time', got {text!r}")
    train, validation, test = (int(part) for part in parts)
    if train == 0 or train + validation + test > 10_000:
        raise UsageError(f"split must give train at least 1 part and have at most 10000 parts in all, got {text!r}")
    return RowSplit((train, validation, test))


def _named_files(text: str, files: Sequence[Path]) -> FileSplit:
    names = [path.name for path in files]
    if len(set(names)) < len(names):
        raise UsageError("a split that names files needs files of different names")
    placed: dict[str, int] = {}
    for part in text.split(";"):
        split, _, listed = part.partition("=")
        if split.strip() not in SPLITS:
            raise UsageError(f"split {text!r} names {split.strip()!r}: {nearest(split.strip(), SPLITS)}")
        for name in listed.split(","):
            if name.strip() not in names:
                raise UsageError(f"split {text!r} names a file that is not an input: {nearest(name.strip(), names)}")
            if name.strip() in placed:
                raise UsageError(f"split {text!r} names the file {name.strip()!r} twice: a file is in one split")
            placed[name.strip()] = SPLITS.index(split.strip())
    missing = [name for name in names if name not in placed]
    if missing:
        raise UsageError(f"split {text!r} says nothing about the file {missing[0]!r}")
    return FileSplit(tuple(placed[name] for name in names))
