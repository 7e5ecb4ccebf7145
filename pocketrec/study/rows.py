"""CSV tables that a kill cannot spoil: rows are appended and flushed to disk; a torn last line is dropped."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pocketrec.errors import DataError
from pocketrec.files import write_text

Row = Mapping[str, str]


def read_rows(path: Path) -> list[dict[str, str]]:
    """All rows so far, none where there is no file; a last line torn by a kill is left out."""
    return list(csv.DictReader(io.StringIO(whole_lines(path))))


def read_table(path: Path, columns: Sequence[str], numbers: Sequence[str]) -> list[dict[str, str]]:
    """`read_rows`, checked. Raises DataError for a missing column or a number that is none, naming the line."""
    rows = read_rows(path)
    for line, row in enumerate(rows, 2):
        missing = [name for name in columns if row.get(name) is None]
        if missing or None in row:
            what = f"no {missing[0]}" if missing else "more values than columns"
            raise DataError(f"{path}, line {line}: {what}: not written by this version, or edited; restore the file")
        for name in numbers:
            if row[name] and not _is_number(row[name]):
                raise DataError(f"{path}, line {line}: {name} must be a number, got {row[name]!r}: restore the file")
    return rows


def append_rows(path: Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write more rows in one go, after the whole lines that are there. Raises DataError for a file of other columns."""
    repair(path)
    whole = whole_lines(path)
    if whole and next(csv.reader([whole.splitlines()[0]])) != list(columns):
        raise DataError(f"{path}: has other columns than this version writes: choose another folder")
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    if not whole:
        writer.writeheader()
    writer.writerows(rows)
    with open(path, "ab") as file:
        file.write(text.getvalue().encode())
        file.flush()
        os.fsync(file.fileno())


def repair(path: Path) -> bool:
    """Drop what a kill in the middle of a write left; True when there was something."""
    whole = whole_lines(path)
    torn = path.exists() and path.stat().st_size > len(whole.encode())
    if torn:
        write_text(path, whole)
    return torn


def whole_lines(path: Path) -> str:
    """The text up to the last line that ends."""
    data = path.read_bytes() if path.exists() else b""
    try:
        return data[: data.rfind(b"\n") + 1].decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is damaged, not UTF-8 at byte {error.start}: restore the file") from None


def number_of(row: Row, name: str) -> float | None:
    """A value as a number; None where it is empty."""
    return float(row[name]) if row[name] else None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
