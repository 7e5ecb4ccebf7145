"""Checked rows of one block, and the rows that broke a rule."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pocketrec.errors import DataError

HEADER_HINT = "It looks like a header: remove it, or use format='csv' (--format csv) and declare the columns"
SKIP_HINT = "Correct it, or leave such rows out with on_bad_row='skip' (--on-bad-row skip)"


@dataclass(frozen=True)
class BadRow:
    """One row that broke a rule."""

    place: int
    """Line number of a text file, row number of a Parquet file, from 1."""
    column: str
    """Empty when the whole row is wrong."""
    rule: str
    value: str
    hint: str = SKIP_HINT
    """What to do."""

    def explain(self, path: Path, unit: str) -> str:
        """The sentence for the user; `unit` is `line` or `row`."""
        column = f", column {self.column}" if self.column else ""
        return f"{path}, {unit} {self.place}{column}: {self.rule}, got {_shorten(self.value)}. {self.hint}"


def _shorten(value: str) -> str:
    return repr(value if len(value) <= 60 else value[:57] + "...")


@dataclass
class BadRows:
    """Bad rows of a block or a file: how many broke which rule, and the first of them."""

    reasons: Counter[str] = field(default_factory=Counter)
    first: BadRow | None = None

    def add(self, row: BadRow, count: int = 1) -> None:
        """Count `count` rows that broke the rule of `row`, the first of them."""
        self.reasons[f"{row.column}: {row.rule}" if row.column else row.rule] += count
        if self.first is None or row.place < self.first.place:
            self.first = row

    def merge(self, other: BadRows) -> None:
        """Count the rows of `other` as well."""
        self.reasons.update(other.reasons)
        if other.first and (self.first is None or other.first.place < self.first.place):
            self.first = other.first

    def stop(self, path: Path, unit: str) -> None:
        """Raise DataError for the first bad row, if there is one."""
        if self.first:
            raise DataError(self.first.explain(path, unit))


@dataclass
class Rows:
    """Good rows of one block: N rows, `n_dense` dense columns, F features."""

    numbers: np.ndarray
    """(N,) int64, physical row numbers in the file, from 0."""
    labels: np.ndarray
    """(N,) int8, 0 or 1; -1 for none in a log that is read to be scored."""
    dense: np.ndarray
    """(N, n_dense) float32, log1p(max(x, 0)); x itself in a log that is read to be scored."""
    sparse: np.ndarray
    """(N, F) raw ids, columns contiguous."""
    times: np.ndarray | None
    """(N,) int64 in an order-preserving code, for a split by time."""
    bad: BadRows
