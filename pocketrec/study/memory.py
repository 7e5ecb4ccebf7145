"""How much memory a process has taken at most."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_memory_bytes() -> int:
    """The high-water mark of this process's resident memory.

    It includes Python and its libraries (up to half a gigabyte, shared or not), the pages of the log that were read
    through memory maps, gradients, optimiser state, and what evaluating and writing checkpoints takes.
    """
    if _STATUS.exists():
        # Unlike ru_maxrss, which Linux hands down from the process that started this one.
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
