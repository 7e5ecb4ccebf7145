"""One input file, whatever its format, as blocks that can be parsed in any order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

from pocketrec.data import blocks, convert
from pocketrec.data.frame import rows_of_frame
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
            schema = pl.read_parquet_schema(path)
        except pl.exceptions.PolarsError as error:
            raise DataError(f"{path}: not a readable Parquet file ({error})") from None
        for name in layout.wanted:
            if name not in schema:
                raise DataError(f"{path}: no column {name!r}: {nearest(name, schema)}")

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


def with_id_kinds(layout: Layout, path: Path) -> Layout:
    """`layout` with `id_kinds` filled in from the first block of the first file. Raises DataError."""
    if layout.format == "criteo":
        return layout
    if layout.format == "parquet":
        # The types decide, so no row is needed; a column of no rows still has its type.
        ParquetSource(path, layout)
        frame = pl.scan_parquet(path).select(layout.categorical).head(1).collect()
        kinds = {name: _parquet_kind(frame[name], name in layout.text, path) for name in layout.categorical}
        return replace(layout, id_kinds=kinds)
    parser = TextParser(path, layout)
    first = blocks.read_blocks(path, quoted=True, header=True, on_bytes=lambda _: None, block_bytes=_FIRST_BLOCK_BYTES)
    block = next(first, None)
    if block is None:
        raise DataError(f"{path}: the file holds no rows")
    frame = parser.frame(block, BadRows())[0]
    try:
        kinds = {name: convert.id_kind(frame[name], name in layout.text) for name in layout.categorical}
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    return replace(layout, id_kinds=kinds)


def _parquet_kind(series: pl.Series, declared_text: bool, path: Path) -> str:
    if not declared_text and series.dtype in (pl.String, pl.Categorical, pl.Enum):
        return "text"
    try:
        return convert.id_kind(series, declared_text)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
