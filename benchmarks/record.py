"""Appends rows to `benchmarks/results.csv`: every measurement keeps its date, commit, machine and versions.

The environment variable POCKETREC_RESULTS names another file, for a trial that is not to be kept.
"""

from __future__ import annotations

import csv
import datetime
import importlib.metadata
import importlib.util
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pocketrec.data import system

RESULTS = Path(os.environ.get("POCKETREC_RESULTS", Path(__file__).parent / "results.csv"))
COLUMNS = (
    "date",
    "commit",
    "machine",
    "versions",
    "benchmark",
    "shape",
    "backend",
    "unit",
    "min",
    "median",
    "max",
    "conditions",
)
_PACKAGES = ("torch", "triton", "numpy", "polars", "fbgemm-gpu-cpu")


def record(benchmark: str, shape: str, backend: str, unit: str, values: Sequence[float], conditions: str = "") -> None:
    """Append one row with the least, the middle and the greatest of `values`, and print it."""
    row = {
        "date": today(),
        "commit": COMMIT,
        "machine": machine(),
        "versions": versions(),
        "benchmark": benchmark,
        "shape": shape,
        "backend": backend,
        "unit": unit,
        "min": f"{min(values):.6g}",
        "median": f"{statistics.median(values):.6g}",
        "max": f"{max(values):.6g}",
        "conditions": conditions,
    }
    new = not RESULTS.exists()
    with RESULTS.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)
    print(f"{benchmark} [{shape}] {row['median']} {unit} (min {row['min']}, max {row['max']}) {conditions}".rstrip())


def today() -> str:
    """The date in UTC, as 2026-11-22."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")


def machine() -> str:
    """CPU model, number of cores, and the GPU where torch was told to use one; never a host name."""
    return ", ".join([system.machine(), *_gpu()])


def _gpu() -> list[str]:
    torch = sys.modules.get("torch")  # a benchmark that has not imported it did not use the card
    return [torch.cuda.get_device_name()] if torch is not None and torch.cuda.is_initialized() else []


def versions() -> str:
    """Python and the packages that matter, those that are installed."""
    installed = {d.name for d in importlib.metadata.distributions()}
    packages = [f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES if name in installed]
    return ", ".join([f"python {platform.python_version()}", *packages])


def commit() -> str:
    """The short hash of the checkout, with `+` when files differ from it."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip() or "unknown"


COMMIT = commit()
"""When the benchmark began: the checkout may go on meanwhile."""
