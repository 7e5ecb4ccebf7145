"""What was run where and with what: the first columns of every row."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import subprocess
from functools import cache
from pathlib import Path

import pocketrec
from pocketrec.data.system import machine

_ROOT = Path(pocketrec.__file__).parent.parent
_PACKAGES = ("torch", "numpy", "polars")


def columns() -> dict[str, str]:
    """What a row says of itself."""
    return {
        "date": today(),
        "version": pocketrec.__version__,
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
    }


def today() -> str:
    """The date in UTC, as 2026-11-22."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")


@cache
def versions() -> str:
    """Of Python and of the packages that decide a result."""
    packages = [f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES]
    return ", ".join([f"python {platform.python_version()}", *packages])


@cache
def commit() -> str:
    """The short hash of the checkout pocketrec is run from, with `+` when files differ; empty outside one."""
    # An installed package may lie in somebody else's repository.
    if _git("rev-parse", "--show-toplevel") != str(_ROOT.resolve()):
        return ""
    return _git("describe", "--always", "--dirty=+", "--exclude=*")


def _git(*words: str) -> str:
    try:
        told = subprocess.run(["git", *words], cwd=_ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return told.stdout.strip()
