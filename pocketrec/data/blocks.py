"""A text file as blocks of whole lines: memory stays flat and every line keeps its number."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, cast

import numpy as np

from pocketrec.errors import DataError

LINE_LIMIT_BYTES = 64 << 20
_HEADER_CHUNK_BYTES = 4 << 20
"""Large, since an open quote in the header makes each chunk look at all before it again."""
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class TextBlock:
    """Whole lines of one file, the last one ended by a newline."""

    data: bytes
    first_line: int
    """Line number of the first line, from 1."""
    first_row: int
    """Number of rows (header not counted, bad rows counted) before this block."""
    rows: int
    """Rows in this block; fewer than lines where quoted fields hold line ends."""

    @cached_property
    def record_lines(self) -> np.ndarray:
        """(rows,) line number on which each record starts."""
        newlines = record_ends(self.data, quoted=False)
        if self.rows == len(newlines):
            return np.arange(self.first_line, self.first_line + self.rows)
        ends = record_ends(self.data, quoted=True)
        starts = np.concatenate(([0], ends[:-1] + 1))
        return self.first_line + np.searchsorted(newlines, starts)


def places_of(data: bytes, byte: str, quoted: bool) -> np.ndarray:
    """Positions of `byte` in `data`; where `quoted`, only those outside double quotes."""
    codes = np.frombuffer(data, np.uint8)
    places = np.flatnonzero(codes == ord(byte))
    if quoted and b'"' in data:
        places = places[np.searchsorted(np.flatnonzero(codes == ord('"')), places) % 2 == 0]
    return places


def record_ends(data: bytes, quoted: bool) -> np.ndarray:
    """Positions of the newlines that end a record."""
    return places_of(data, "\n", quoted)


def read_blocks(
    path: Path, *, quoted: bool, header: bool, on_bytes: Callable[[bytes], None], block_bytes: int
) -> Iterator[TextBlock]:
    """Yield the lines of `path` (.gz or plain) after the header, about `block_bytes` at a time.

    Blank lines at the end of the file are dropped and CRLF becomes LF. `on_bytes` is called with the bytes read from
    disk, compressed as they are. Raises DataError for a broken .gz, an open quote or an endless line.
    """
    line, row, skip = 1, 0, header
    for data in _whole_lines(path, _chunks(path, on_bytes, block_bytes), quoted):
        if skip:
            end = int(record_ends(data, quoted)[0]) + 1
            line += data.count(b"\n", 0, end)
            data, skip = data[end:], False
            if not data:
                continue
        lines = int(np.count_nonzero(np.frombuffer(data, np.uint8) == 10))
        rows = len(record_ends(data, True)) if quoted and b'"' in data else lines
        yield TextBlock(data, line, row, rows)
        line += lines
        row += rows


def read_header(path: Path) -> bytes:
    """The first record of a CSV file, without its line end. Raises DataError."""
    chunks = _chunks(path, lambda _: None, _HEADER_CHUNK_BYTES)
    for data in _whole_lines(path, chunks, quoted=True):
        return data[: int(record_ends(data, True)[0])].removesuffix(b"\r")
    raise DataError(f"{path}: the file holds no rows, not even a header: leave it out, or write it again")


def _whole_lines(path: Path, chunks: Iterator[bytes], quoted: bool) -> Iterator[bytes]:
    rest, first, blank = b"", True, b""
    for chunk in chunks:
        data = rest + (chunk.removeprefix(b"\xef\xbb\xbf") if first else chunk)
        first = False
        cut = _last_record_end(data, quoted)
        if cut == 0 and len(data) > LINE_LIMIT_BYTES:
            raise DataError(
                f"{path}: no line end within {LINE_LIMIT_BYTES >> 20} MiB: is this text, with its quotes closed?"
            )
        rest, lines = data[cut:], blank + data[:cut].replace(b"\r\n", b"\n")
        # Blank lines are bad rows only when something follows them.
        blank = b"\n" * (len(lines) - len(lines.rstrip(b"\n")) - 1) if lines.endswith(b"\n\n") else b""
        if len(lines) > len(blank) + 1:
            yield lines.removesuffix(blank)
        else:
            blank = lines
    rest = rest.removesuffix(b"\r")
    if rest:
        if quoted and rest.count(b'"') % 2:
            raise DataError(f"{path}: a double quote in the last {len(rest)} bytes is never closed: close it")
        yield blank + rest + b"\n"


def _last_record_end(data: bytes, quoted: bool) -> int:
    """Length of the longest prefix of whole records."""
    if not quoted or b'"' not in data:
        return data.rfind(b"\n") + 1
    ends = record_ends(data, quoted)
    return int(ends[-1]) + 1 if len(ends) else 0


class _CountingReader:
    """Reads a binary file and reports the bytes that passed."""

    def __init__(self, raw: IO[bytes], on_bytes: Callable[[bytes], None]) -> None:
        self.raw, self.on_bytes = raw, on_bytes

    def read(self, size: int = -1) -> bytes:
        data = self.raw.read(size)
        self.on_bytes(data)
        return data

    def __getattr__(self, name: str) -> object:
        return getattr(self.raw, name)


def _chunks(path: Path, on_bytes: Callable[[bytes], None], size: int) -> Iterator[bytes]:
    with path.open("rb") as raw:
        counted = _CountingReader(raw, on_bytes)
        if path.suffix != ".gz":
            yield from _plain(path, counted, size)
            return
        try:
            yield from _unpacked(counted, size)
        except EOFError:
            raise DataError(f"{path}: the .gz file is cut off before its end: copy or download it again") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{path}: not a valid .gz file ({error}): copy or download it again") from None


def _plain(path: Path, raw: _CountingReader, size: int) -> Iterator[bytes]:
    first = True
    while chunk := raw.read(size):
        if first and chunk.startswith(_GZIP_MAGIC):
            raise DataError(f"{path}: holds gzip data: give the file a name that ends in .gz, or unpack it")
        first = False
        yield chunk


def _unpacked(raw: _CountingReader, size: int) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=cast(IO[bytes], raw), mode="rb") as unpacked:
        while chunk := unpacked.read(size):
            yield chunk
