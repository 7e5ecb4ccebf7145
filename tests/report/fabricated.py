"""A study folder made up for tests of the report: rows like those `pocketrec study` writes, nothing trained.

The numbers resemble the Book-Crossing study's: ROBE loses nothing to see at 10x, 0.007 at 100x; the hashing trick more.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ABOUT = {
    "date": "2026-11-25",
    "version": "0.1.0",
    "commit": "345990d",
    "machine": "AMD EPYC, 2 cores",
    "versions": "python 3.11.7, torch 2.13.0+cpu, numpy 2.4.6, polars 2.1.0",
    "data": "book_crossing",
    "model": "dlrm",
    "preset": "kaggle",
}
FULL_BYTES, ID_MAP_BYTES = 47_469_568, 2_630_168
SEED_EFFECT = (0.0006, -0.0009, 0.0004)
"""What the seed does to every model alike: a paired difference does not see it."""


@dataclass(frozen=True)
class Cell:
    """One (scheme, compression): the AUC it tends to, and how fast."""

    scheme: str
    compression: float
    auc: float
    pace: float  # steps after which 1/e of the way is left
    step_ms: float
    seconds: float
    noise: float = 0.0004
    error: str = ""
    way: str = "adagrad-1"


NOISE = (-1.0, 0.2, 0.8)
"""By seed, times a cell's `noise`: mean 0; with 3 seeds Student's interval is +- 2.277 times `noise`."""
FULL = Cell("full", 1, 0.8050, 80, 60.8, 41.0, noise=0)
BOOK_CROSSING = (
    FULL,
    Cell("robe", 10, 0.8047, 160, 64.1, 170.0, noise=0.0009),
    Cell("robe", 100, 0.7985, 330, 63.2, 151.0, way="adam-3"),
    Cell("robe", 1000, 0.7693, 450, 48.9, 114.0, noise=0.0008, way="adam-3"),
    Cell("hashing-trick", 10, 0.8016, 95, 55.2, 26.0, noise=0.0008),
    Cell("hashing-trick", 100, 0.7830, 420, 52.0, 84.0),
    Cell("hashing-trick", 1000, 0.7340, 500, 47.3, 80.6, noise=0.0030),
)
STEPS = tuple(range(45, 1351, 45))
FEATURES = (("reader", 84_000, 0.031), ("book", 310_000, 0.016), ("title", 220_000, 0.0121), ("author", 92_000, 0.007),
            ("publisher", 15_700, 0.0034), ("place", 18_600, 0.0021), ("age", 99, 0.0004))  # fmt: skip


def write_study(
    folder: Path, cells: Sequence[Cell] = BOOK_CROSSING, *, seeds: int = 3, timing: bool = True, features: bool = True,
    toml: Mapping[str, Any] | None = None, **about: str,
) -> Path:  # fmt: skip
    """Write the files of a finished study of these cells; `about` replaces columns that all rows share."""
    told = ABOUT | about
    rows = [row for cell in cells for row in _runs(folder, cell, seeds, told)]
    _write(folder / "results.csv", rows)
    if timing:
        _write(folder / "timing.csv", [_timed(cell, told) for cell in cells[1:] if not cell.error])
    if features:
        _write(folder / "features.csv", [row for cell in cells if not cell.error for row in _lost(cell)])
    if toml:
        (folder / "study.toml").write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in toml.items()))
    return folder


def _runs(folder: Path, cell: Cell, seeds: int, about: Mapping[str, str]) -> Iterable[dict[str, Any]]:
    for trial in range(2):
        yield _run(folder, cell, 0, "tuning", about, rate=0.01 * (2 - trial), worse=0.002 * (1 - trial))
    for seed in range(seeds):
        yield _run(folder, cell, seed, "final", about, rate=0.01)


def _run(
    folder: Path, cell: Cell, seed: int, phase: str, about: Mapping[str, str], *, rate: float, worse: float = 0.0
) -> dict[str, Any]:  # fmt: skip
    settings = {"embedding_dim": 16, "embedding_learning_rate": rate, "optimizer": "adagrad", "sharing": cell.scheme}
    row: dict[str, Any] = {
        **about, "scheme": cell.scheme, "compression": f"{cell.compression:g}", "phase": phase, "way": cell.way,
        "settings": json.dumps(settings, sort_keys=True), "seed": seed,
    }  # fmt: skip
    if cell.error:
        return {**row, "error": cell.error}
    test = cell.auc - worse + SEED_EFFECT[seed % 3] + cell.noise * NOISE[seed % 3]
    left = [0.12 * (math.exp(-step / cell.pace) - math.exp(-STEPS[-1] / cell.pace)) for step in STEPS]
    curve = [(step, test + 0.0016 - lost) for step, lost in zip(STEPS, left, strict=True)]
    run = f"{cell.scheme}-{cell.compression:g}-{rate:g}-{seed}"  # the first final is the tuning run that was picked
    _write(folder / "runs" / run / "history.csv", [{"step": s, "validation_auc": f"{a:.6f}"} for s, a in curve])
    stored = int(FULL_BYTES / cell.compression)
    return row | {
        "best_validation_auc": f"{test + 0.0016:.6f}", "test_auc": f"{test:.6f}", "test_log_loss": 0.5123,
        "test_calibration": 0.925, "steps": STEPS[-1], "steps_to_best": STEPS[-1], "seconds": cell.seconds,
        "stopped": "", "stored_bytes": stored, "full_bytes": FULL_BYTES,
        "id_map_bytes": ID_MAP_BYTES if cell.compression == 1 else 0, "reached_compression": FULL_BYTES / stored,
        "peak_memory_bytes": 900_000_000, "run": run, "error": "",
    }  # fmt: skip


def _timed(cell: Cell, about: Mapping[str, str]) -> dict[str, Any]:
    return {
        "date": about["date"], "machine": about["machine"], "versions": about["versions"], "scheme": cell.scheme,
        "compression": f"{cell.compression:g}", "settings": "{}", "step_ms": cell.step_ms, "full_ms": FULL.step_ms,
        "ratio": cell.step_ms / FULL.step_ms, "threads": 1, "batch_size": 2048, "rounds": 20, "conditions": "quiet",
    }  # fmt: skip


def _lost(cell: Cell) -> Iterable[dict[str, Any]]:
    for feature, num_embeddings, importance in FEATURES:
        lost = importance * 10 * max(FULL.auc - cell.auc, 0) * math.log10(num_embeddings) / 5
        yield {
            "scheme": cell.scheme, "compression": f"{cell.compression:g}", "seed": 0, "feature": feature,
            "num_embeddings": num_embeddings, "importance": f"{importance - lost:.6f}", "lost_auc": f"{lost:.6f}",
        }  # fmt: skip


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


FIGURES = ("auc-by-size", "step-speed-up", "iterations", "total-time", "curves", "features")
TARGETS = ["full-0.001", "full-0.01"]
ROBE = Cell("robe", 100, 0.7985, 330, 63.2, 151.0)
