"""One input file, whatever its format, as blocks that can be parsed in any order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

from pocketrec.data import blocks
from pocketrec.data.frame import rows_of_frame
from pocketrec.data.kinds import check_same_kinds, id_kind_of_texts, kinds_of_schema, time_kind_of_texts
from pocketrec.data.layout import Layout
from pocketrec.data.rows import BadRows, Rows
from pocketrec.data.text import TextParser
from pocketrec.errors import DataError, nearest

PARQUET_ROW_BYTES = 256
"""What a row of Parquet counts for when blocks are cut."""
_FIRST_BLOCK_BYTES = 16 << 20


class Source(Protocol):
    """A file being read once, from the front."""

    path: Path
    unit: str
    """What an error counts: `line` or `row`."""

    def blocks(self, block_bytes: int) -> Iterator[Any]:
        """Pieces of about `block_bytes`, in order, cheap to make."""
        ...

    def parse(self, block: Any) -> Rows:
        """The checked rows of one piece; does the work and may run in any thread."""
        ...

    def sha256(self) -> str:
        """The hash of the file, once all blocks were taken."""
        ...


def open_source(path: Path, layout: Layout, advance: Callable[[int], None] = lambda _: None) -> Source:
    """The reader for `layout.format`; `advance` is called with bytes read. Raises DataError for missing columns."""
    return (ParquetSource if layout.format == "parquet" else TextSource)(path, layout, advance)


class TextSource:
    """A Criteo, CSV or TSV file, plain or .gz."""

    unit = "line"

    def __init__(self, path: Path, layout: Layout, advance: Callable[[int], None] = lambda _: None) -> None:
        self.path, self._advance, self._hash = path, advance, hashlib.sha256()
        self._parser = TextParser(path, layout)
        self.parse = self._parser.parse

    def blocks(self, block_bytes: int) -> Iterator[blocks.TextBlock]:
        """See `Source`."""
        quoted = self._parser.quoted
        return blocks.read_blocks(
            self.path, quoted=quoted, header=quoted, on_bytes=self._passed, block_bytes=block_bytes
        )

    def sha256(self) -> str:
        """See `Source`."""
        return self._hash.hexdigest()

    def _passed(self, data: bytes) -> None:
        self._hash.update(data)
        self._advance(len(data))


class ParquetSource:
    """A Parquet file, read in batches."""

    unit = "row"

    def __init__(self, path: Path, layout: Layout, advance: Callable[[int], None] = lambda _: None) -> None:
        self.path, self._layout, self._advance = path, layout, advance
        try:
            self.schema = pl.read_parquet_schema(path)
        except pl.exceptions.PolarsError as error:
            raise DataError(f"{path}: not a readable Parquet file ({error})") from None
        for name in layout.wanted:
            if name not in self.schema:
                raise DataError(f"{path}: no column {name!r}: {nearest(name, self.schema)}")
        if layout.id_kinds:
            check_same_kinds(path, self.schema, layout)

    def blocks(self, block_bytes: int) -> Iterator[tuple[int, pl.DataFrame]]:
        """See `Source`."""
        scan = pl.scan_parquet(self.path).select(self._layout.wanted)
        first, size = 0, self.path.stat().st_size
        total = max(1, pl.scan_parquet(self.path).select(pl.len()).collect().item())
        try:
            for frame in scan.collect_batches(chunk_size=max(1, block_bytes // PARQUET_ROW_BYTES)):
                yield first, frame
                self._advance(size * (first + len(frame)) // total - size * first // total)
                first += len(frame)
        except pl.exceptions.PolarsError as error:
            raise DataError(f"{self.path}: not a readable Parquet file ({error})") from None

    def parse(self, block: tuple[int, pl.DataFrame]) -> Rows:
        """See `Source`."""
        first, frame = block
        numbers = np.arange(first, first + len(frame))
        return rows_of_frame(frame, self._layout, numbers, lambda i: first + i + 1, BadRows())

    def sha256(self) -> str:
        """See `Source`."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def with_kinds(layout: Layout, path: Path) -> Layout:
    """`layout` with `id_kinds` and `time_kind` filled in from the first file. Raises DataError."""
    if layout.format == "criteo":
        return layout
    if layout.format == "parquet":
        # The types decide, so no row is needed.
        ids, time = kinds_of_schema(path, ParquetSource(path, layout).schema, layout)
    else:
        ids, time = _kinds_of_text(layout, path)
    return replace(layout, id_kinds=ids, time_kind=time)


def _kinds_of_text(layout: Layout, path: Path) -> tuple[dict[str, str], str]:
    """Judged by the first block."""
    parser = TextParser(path, layout)
    first = blocks.read_blocks(path, quoted=True, header=True, on_bytes=lambda _: None, block_bytes=_FIRST_BLOCK_BYTES)
    block = next(first, None)
    if block is None:
        raise DataError(f"{path}: the file holds no rows: leave it out, or write it again")
    frame = parser.frame(block, BadRows())[0]
    ids = {name: "text" if name in layout.text else id_kind_of_texts(path, frame[name]) for name in layout.categorical}
    return ids, "" if layout.time_column is None else time_kind_of_texts(frame[layout.time_column])
