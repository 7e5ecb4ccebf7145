"""Growing .npy files: rows are appended, the header is corrected at the end, the name appears when all is written."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import TracebackType

import numpy as np


class NpyAppender:
    """Writes an array of shape (N, *row_shape) whose N is not known beforehand.

    A context manager: on success the file is flushed to disk and renamed to `path`, on failure it is removed. No file
    appears when no row was appended.
    """

    def __init__(self, path: Path, dtype: str, row_shape: tuple[int, ...] = ()) -> None:
        self.path, self.dtype, self.row_shape, self.rows = path, np.dtype(dtype), row_shape, 0
        self.temporary = path.with_name(f".{path.name}.part")
        self._file = self.temporary.open("wb")
        self._write_header()

    def append(self, values: np.ndarray) -> None:
        """Append (n, *row_shape) values of the file's dtype."""
        assert values.dtype == self.dtype
        assert values.shape[1:] == self.row_shape
        self.rows += len(values)
        self._file.write(np.ascontiguousarray(values).data)

    def __enter__(self) -> NpyAppender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        written = False
        try:
            if kind is None and self.rows:
                self._file.seek(0)
                # NumPy pads the header so that a longer N still fits.
                self._write_header()
                self._file.flush()
                os.fsync(self._file.fileno())
                written = True
        finally:
            self._close_quietly(error=not written)
            if written:
                self.temporary.replace(self.path)
            else:
                self.temporary.unlink(missing_ok=True)

    def _close_quietly(self, error: bool) -> None:
        """Close; a full disk that made us fail also fails the flush in close, which must not hide the first error."""
        try:
            self._file.close()
        except OSError:
            if not error:
                raise

    def _write_header(self) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": (self.rows, *self.row_shape),
        }
        np.lib.format.write_array_header_1_0(self._file, header)


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
