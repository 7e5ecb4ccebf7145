"""What the operating system offers and refuses."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pocketrec.errors import DataError

_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


def processors() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def os_errors_told(path: Path) -> Iterator[None]:
    """Turn what the operating system refuses while writing `path` into a DataError."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DataError(f"{path}: the disk is full: make room or choose another place") from None
        raise DataError(f"{error.filename or path}: {error.strerror or error}") from None
