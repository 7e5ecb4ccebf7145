"""Blocks of Criteo lines or CSV lines -> checked rows. Polars splits and converts; we count separators.

Polars accepts a line with too few fields and names no line in its errors. So separators are counted first, and a block
that does not add up is taken apart record by record with NumPy.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import polars as pl

from pocketrec.data import blocks
from pocketrec.data.blocks import TextBlock, record_ends
from pocketrec.data.frame import rows_of_frame
from pocketrec.data.layout import Layout
from pocketrec.data.rows import BadRow, BadRows, Rows
from pocketrec.errors import DataError, nearest


class TextParser:
    """Parses the blocks of one file. Holds no state between blocks, so blocks may be parsed in any order."""

    unit = "line"

    def __init__(self, path: Path, layout: Layout) -> None:
        """Look at the header of a CSV file. Raises DataError for unknown or repeated columns."""
        self.path, self.layout = path, layout
        self.quoted = layout.format == "csv"
        self.columns = csv_columns(path, layout) if self.quoted else layout.wanted

    def parse(self, block: TextBlock) -> Rows:
        """The good rows of `block`; bad ones are counted in `.bad`."""
        bad = BadRows()
        frame, records = self.frame(block, bad)
        return rows_of_frame(
            frame, self.layout, block.first_row + records, lambda i: _line(block, int(records[i])), bad
        )

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
            return len(_separators(block.data, self.layout.separator, True)) == wanted
        # Polars would read "+1f" as hex digits.
        if self.layout.format == "criteo" and b"+" in block.data:
            return False
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
        data, separator = block.data, self.layout.separator
        ends = record_ends(data, self.quoted)
        starts = np.concatenate(([0], ends[:-1] + 1))
        found = np.diff(np.searchsorted(_separators(data, separator, self.quoted), ends), prepend=0) + 1
        good = found == len(self.columns)
        for i in np.flatnonzero(~good).tolist():
            rule = f"a row has {len(self.columns)} columns"
            bad.add(BadRow(_line(block, i), "", rule, f"{int(found[i])}"))
        for i in _with_plus(data, ends) if self.layout.format == "criteo" else []:
            if good[i]:
                value = data[starts[i] : ends[i]].decode("utf-8", "backslashreplace")
                bad.add(BadRow(_line(block, i), "", "a line holds no plus sign", value))
            good[i] = False
        for i in _undecodable(data, starts, ends) if not _is_utf8(data) else []:
            if good[i]:
                value = data[starts[i] : ends[i]].decode("utf-8", "backslashreplace")
                bad.add(BadRow(_line(block, i), "", "text is UTF-8", value))
            good[i] = False
        kept = np.flatnonzero(good)
        return kept, b"".join(data[starts[i] : ends[i] + 1] for i in kept)


def csv_columns(path: Path, layout: Layout) -> tuple[str, ...]:
    """The columns in the header. Raises DataError when one that is declared is missing."""
    header = blocks.read_header(path)
    try:
        names = tuple(next(csv.reader([header.decode()], delimiter=layout.separator)))
    except UnicodeDecodeError:
        raise DataError(f"{path}, line 1: text is UTF-8; convert the file, for example with iconv") from None
    for name in layout.wanted:
        if name not in names:
            raise DataError(f"{path}, line 1: no column {name!r} in the header: {nearest(name, names)}")
        if names.count(name) > 1:
            raise DataError(f"{path}, line 1: column {name!r} occurs twice in the header: give each its own name")
    return names


def _separators(data: bytes, separator: str, quoted: bool) -> np.ndarray:
    """Positions of the separators outside quotes."""
    codes = np.frombuffer(data, np.uint8)
    places = np.flatnonzero(codes == ord(separator))
    if quoted and b'"' in data:
        places = places[np.searchsorted(np.flatnonzero(codes == 34), places) % 2 == 0]
    return places


def _line(block: TextBlock, record: int) -> int:
    """Line number on which a record starts."""
    if block.rows == block.data.count(b"\n"):
        return block.first_line + record
    start = int(record_ends(block.data, True)[record - 1]) + 1 if record else 0
    return block.first_line + block.data.count(b"\n", 0, start)


def _with_plus(data: bytes, ends: np.ndarray) -> list[int]:
    """Positions of the records with a plus sign."""
    places = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("+"))
    return np.unique(np.searchsorted(ends, places)).tolist()


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _undecodable(data: bytes, starts: np.ndarray, ends: np.ndarray) -> list[int]:
    return [i for i, (start, end) in enumerate(zip(starts, ends, strict=True)) if not _is_utf8(data[start:end])]
