"""What a calibration depends on beside the processor: versions, threads and memory."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

import pocketrec
from pocketrec.data.system import processors


def versions() -> str:
    """Python, torch and pocketrec; importing none of them."""
    torch = importlib.metadata.version("torch")
    return f"python {platform.python_version()}, torch {torch}, pocketrec {pocketrec.__version__}"


def threads() -> int:
    """CPU threads that torch starts with: OMP_NUM_THREADS where set, else one a processor."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdigit() and int(told) else processors()


def available_bytes() -> int:
    """Memory that can be taken without swapping, within the limit of a container."""
    free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    told = Path("/proc/meminfo")
    if told.exists():
        lines = dict(line.split(":", 1) for line in told.read_text().splitlines() if ":" in line)
        free = int(lines["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in lines else free
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and limit.read_text().strip().isdigit():
        free = min(free, int(limit.read_text()))
    return free


def cache_folder() -> Path:
    """Where this user's calibrations lie: XDG_CACHE_HOME, or what the platform uses."""
    told = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(told):
        return Path(told) / "pocketrec"
    mac = platform.system() == "Darwin"
    return Path.home() / ("Library/Caches" if mac else ".cache") / "pocketrec"
