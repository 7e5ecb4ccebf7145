"""A Polars frame of the wanted columns -> checked `Rows`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from pocketrec.data import convert
from pocketrec.data.layout import Layout
from pocketrec.data.rows import BadRow, BadRows, Rows


def rows_of_frame(
    frame: pl.DataFrame, layout: Layout, numbers: np.ndarray, place_of: Callable[[int], int], bad: BadRows
) -> Rows:
    """Convert and check every column.

    `numbers` (N,) are the physical row numbers; `place_of(i)` is the line or row number that an error names for frame
    row i. Rows that break a rule are left out and added to `bad`.
    """
    broken = _Broken(frame, place_of, bad)
    integers = layout.format == "criteo"
    labels = _labels(frame, layout, broken)
    dense = np.empty((len(frame), len(layout.dense)), np.float32)
    for j, name in enumerate(layout.dense):
        values, rule = convert.dense(frame[name], integers)
        if layout.raw:
            # A blank is 0, before the logarithm as after it.
            dense[:, j] = broken.check(name, *convert.in_float32(values, rule)).fill_null(0).to_numpy()
            continue
        # In float64: log(1 + x) is then as good as log1p for a float32 result, and much faster.
        dense[:, j] = np.log(1.0 + np.maximum(broken.check(name, values, rule).fill_null(0).to_numpy(), 0))
    sparse = np.empty((len(frame), len(layout.categorical)), layout.id_dtype, order="F")
    for j, name in enumerate(layout.categorical):
        sparse[:, j] = broken.check(name, *convert.ids(frame[name], layout.id_kinds[name])).fill_null(0).to_numpy()
    times = None
    if layout.time_column is not None:
        checked = broken.check(
            layout.time_column, *convert.times(frame[layout.time_column], layout.time_kind), blanks=False
        )
        times = checked.fill_null(0).to_numpy()
    rows = Rows(numbers, labels, dense, sparse, times, bad)
    return rows if broken.rows is None else _leave_out(rows, broken.rows)


def _labels(frame: pl.DataFrame, layout: Layout, broken: _Broken) -> np.ndarray:
    """(N,) int8; -1 where there is none, which only a log to be scored may have."""
    if not layout.label:
        return np.full(len(frame), -1, np.int8)
    values, rule = convert.labels(frame[layout.label], layout.format == "criteo")
    checked = broken.check(layout.label, values, rule, blanks=layout.raw)
    return (values.fill_null(-1) if layout.raw else checked).to_numpy()


class _Broken:
    """Collects which rows of a frame broke a rule."""

    def __init__(self, frame: pl.DataFrame, place_of: Callable[[int], int], bad: BadRows) -> None:
        self.frame, self.place_of, self.bad = frame, place_of, bad
        self.rows: np.ndarray | None = None

    def check(self, name: str, values: pl.Series, rule: str, *, blanks: bool = True) -> pl.Series:
        """Note the rows where `values` is null though the input is not (or at all, without `blanks`)."""
        source = self.frame[name]
        allowed = source.null_count() if blanks else 0
        if values.null_count() > allowed:
            broken = (values.is_null() & source.is_not_null()) if blanks else values.is_null()
            self._note(name, rule, broken.to_numpy())
        return values.fill_null(0)

    def _note(self, name: str, rule: str, broken: np.ndarray) -> None:
        # A row is counted once, under the first rule it broke.
        new = broken if self.rows is None else broken & ~self.rows
        if new.any():
            first = int(np.argmax(new))
            value = self.frame[name][first]
            self.bad.add(BadRow(self.place_of(first), name, rule, "" if value is None else str(value)), int(new.sum()))
        self.rows = broken if self.rows is None else self.rows | broken


def _leave_out(rows: Rows, broken: np.ndarray) -> Rows:
    keep = ~broken
    return Rows(
        rows.numbers[keep],
        rows.labels[keep],
        rows.dense[keep],
        np.asfortranarray(rows.sparse[keep]),
        None if rows.times is None else rows.times[keep],
        rows.bad,
    )
