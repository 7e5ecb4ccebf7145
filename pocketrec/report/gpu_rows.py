"""Rows of `benchmarks/gpu.py`: the DLRM step on one card, beside the full tables there or on the host."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from pocketrec.errors import DataError
from pocketrec.report.tables import Table

_COLUMNS = ("date", "commit", "machine", "benchmark", "shape", "backend", "unit", "min", "median", "max")
CAPTION = (
    "Time of a DLRM step with a shared memory divided by that with full tables, taken turn by turn in one process: "
    "below 1, the shared memory is faster. Random ids, untrained models: these rows say nothing about quality."
)


def gpu_table(file: str | os.PathLike[str]) -> Table:
    """The newest row of each kind of step and shape. Raises DataError for a file without such rows."""
    path = Path(file)
    try:
        with open(path, newline="", encoding="utf-8") as opened:
            rows = list(csv.DictReader(opened))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file: give one that benchmarks/gpu.py wrote") from None
    newest = {
        (row["benchmark"], row["shape"]): row
        for row in rows
        if not set(_COLUMNS) - row.keys()
        and row["backend"] == "cuda"
        and row["unit"] == "ratio"
        and row["benchmark"].startswith("gpu DLRM step")
    }
    if not newest:
        raise DataError(f"{path}: no rows of a DLRM step on a card: make some with python benchmarks/gpu.py")
    told = [
        [
            row["benchmark"].removeprefix("gpu "), row["shape"], f"{float(row['median']):.3g}",
            f"{float(row['min']):.3g} to {float(row['max']):.3g}", row["machine"], row["date"], row["commit"],
        ]
        for row in newest.values()
    ]  # fmt: skip
    headers = ["step", "sizes", "ratio (median)", "least to most", "machine", "date", "commit"]
    return Table(CAPTION, headers, told, frozenset({1, 4, 5, 6}))
