"""What the operating system offers and refuses."""

from __future__ import annotations

import errno
import os
import platform
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


def machine() -> str:
    """The processor's model and how many of them this process may use; never a host name."""
    model = platform.processor() or platform.machine()
    told = Path("/proc/cpuinfo")
    if told.exists():
        names = [line.split(":", 1)[1].strip() for line in told.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{model}, {processors()} cores"
