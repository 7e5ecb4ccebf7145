"""Blocks of Criteo lines or CSV lines -> checked rows. Polars splits and converts; we count separators.

Polars accepts a line with too few fields and names no line in its errors. So separators are counted first, and a block
that does not add up is taken apart record by record with NumPy.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from pocketrec.data import blocks
from pocketrec.data.blocks import TextBlock, places_of, record_ends
from pocketrec.data.frame import rows_of_frame
from pocketrec.data.layout import Layout
from pocketrec.data.rows import HEADER_HINT, BadRow, BadRows, Rows
from pocketrec.errors import DataError, nearest


class TextParser:
    """Parses the blocks of one file. Holds no state between blocks, so blocks may be parsed in any order."""

    unit = "line"

    def __init__(self, path: Path, layout: Layout) -> None:
        """Look at the header of a CSV file. Raises DataError for unknown or repeated columns."""
        self.path, self.layout = path, layout
        self.quoted = layout.format == "csv"
        self.columns = csv_columns(path, layout) if self.quoted else layout.columns or layout.wanted

    def parse(self, block: TextBlock) -> Rows:
        """The good rows of `block`; bad ones are counted in `.bad`."""
        bad = BadRows()
        frame, records = self.frame(block, bad)
        rows = rows_of_frame(
            frame, self.layout, block.first_row + records, lambda i: int(block.record_lines[records[i]]), bad
        )
        if bad.first and bad.first.place == 1 and _named_label(block.data):
            bad.first = replace(bad.first, hint=HEADER_HINT)
        return rows

    def frame(self, block: TextBlock, bad: BadRows) -> tuple[pl.DataFrame, np.ndarray]:
        """(the wanted columns as text, the position in the block of each row); misshapen rows are counted in `bad`."""
        frame = self._read(block.data, block.rows) if self._adds_up(block) else None
        if frame is not None:
            return frame, np.arange(block.rows)
        records, data = self._whole_records(block, bad)
        frame = self._read(data, len(records))
        if frame is None:
            last = block.first_line + block.data.count(b"\n") - 1
            raise DataError(f"{self.path}: lines {block.first_line} to {last} cannot be read: is a quote left open?")
        return frame, records

    def _adds_up(self, block: TextBlock) -> bool:
        wanted = block.rows * (len(self.columns) - 1)
        if self.quoted and b'"' in block.data:
            return len(places_of(block.data, self.layout.separator, True)) == wanted
        # NumPy counts bytes six times faster than bytes.count.
        return np.count_nonzero(np.frombuffer(block.data, np.uint8) == ord(self.layout.separator)) == wanted

    def _read(self, data: bytes, rows: int) -> pl.DataFrame | None:
        """The wanted columns as text, or None when Polars does not see `rows` rows of our columns."""
        names = [f"c{i}" for i in range(len(self.columns))]
        if not data:
            return pl.DataFrame(schema=dict.fromkeys(self.layout.wanted, pl.String))
        try:
            frame = pl.read_csv(
                data,
                separator=self.layout.separator,
                has_header=False,
                quote_char='"' if self.quoted else None,
                schema=dict.fromkeys(names, pl.String),
            )
        except pl.exceptions.PolarsError:
            return None
        if len(frame) != rows:
            return None
        places = {name: names[self.columns.index(name)] for name in self.layout.wanted}
        frame = frame.select(pl.col(place).alias(name) for name, place in places.items())
        # Polars reads "" as an empty text, not as a blank.
        return frame.with_columns(pl.all().replace("", None)) if self.quoted and b'""' in data else frame

    def _whole_records(self, block: TextBlock, bad: BadRows) -> tuple[np.ndarray, bytes]:
        """(indices of the records that are UTF-8 with the right number of fields, their bytes)."""
        data = block.data
        ends = record_ends(data, self.quoted)
        starts = np.concatenate(([0], ends[:-1] + 1))
        separators = places_of(data, self.layout.separator, self.quoted)
        found = np.diff(np.searchsorted(separators, ends), prepend=0) + 1
        good = np.ones(len(ends), bool)

        def leave_out(wrong: np.ndarray, rule: str, value_of: Callable[[int], str]) -> None:
            # A record is counted once, under the first rule it broke.
            new = np.flatnonzero(wrong & good)
            if len(new):
                first = int(new[0])
                bad.add(BadRow(int(block.record_lines[first]), "", rule, value_of(first)), len(new))
            good[new] = False

        leave_out(found != len(self.columns), f"a row has {len(self.columns)} columns", lambda i: str(int(found[i])))
        if not _is_utf8(data):
            leave_out(
                _undecodable(data, starts, ends),
                "text is UTF-8",
                lambda i: data[starts[i] : ends[i]].decode("utf-8", "backslashreplace"),
            )
        kept = np.flatnonzero(good)
        return kept, b"".join(data[starts[i] : ends[i] + 1] for i in kept)


def csv_columns(path: Path, layout: Layout) -> tuple[str, ...]:
    """The columns in the header. Raises DataError when one that is declared is missing."""
    header = blocks.read_header(path)
    try:
        names = tuple(next(csv.reader([header.decode()], delimiter=layout.separator)))
    except UnicodeDecodeError:
        raise DataError(f"{path}, line 1: text is UTF-8; convert the file, for example with iconv") from None
    except csv.Error as error:
        raise DataError(
            f"{path}, line 1: not a header of column names ({error}): is the separator {layout.separator!r} right "
            "(--separator), and is every quote closed?"
        ) from None
    for name in layout.wanted:
        if name not in names:
            raise DataError(f"{path}, line 1: no column {name!r} in the header: {nearest(name, names)}")
        if names.count(name) > 1:
            raise DataError(f"{path}, line 1: column {name!r} occurs twice in the header: give each its own name")
    return names


def _named_label(data: bytes) -> bool:
    """Is the label of a Criteo line a name, as in a header?"""
    return data.partition(b"\n")[0].partition(b"\t")[0].strip().isalpha()


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _undecodable(data: bytes, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Which records are not UTF-8."""
    return np.array([not _is_utf8(data[start:end]) for start, end in zip(starts, ends, strict=True)])
