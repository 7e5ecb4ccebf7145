"""Runs side by side: rows for a table, and a figure."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketrec.errors import UsageError
from pocketrec.files import atomic_path
from pocketrec.report.looks import COLOURS
from pocketrec.runs import read_metrics


@dataclass(frozen=True)
class Finished:
    """What a finished run folder says of itself."""

    name: str
    metrics: Mapping[str, Any]
    steps: Sequence[int]
    validation_auc: Sequence[float]


def read_finished(name: str, folder: Path) -> Finished:
    """The metrics and learning curve of a run folder."""
    with open(folder / "history.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["validation_auc"]]
    return Finished(
        name,
        read_metrics(folder),
        [int(row["step"]) for row in rows],
        [float(row["validation_auc"]) for row in rows],
    )


def draw_comparison(runs: Sequence[Finished], path: Path, *, title: str, best_auc: float | None = None) -> None:
    """Left: how each run learned. Right: what it stores, on a logarithmic axis, with its test AUC.

    Raises:
        UsageError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("figures need matplotlib: pip install 'pocketrec[plot]'") from None
    figure = Figure(figsize=(10, 4), layout="constrained")
    curves, bars = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_curves(curves, runs, best_auc)
    _draw_sizes(bars, runs)
    figure.suptitle(title)
    with atomic_path(path) as part:
        figure.savefig(part, format=path.suffix.lstrip("."), dpi=150)


def _draw_curves(axes: Any, runs: Sequence[Finished], best_auc: float | None) -> None:
    for run, colour in zip(runs, COLOURS, strict=False):
        axes.plot(run.steps, run.validation_auc, marker="o", markersize=4, color=colour, label=run.name)
    if best_auc is not None:
        axes.axhline(best_auc, color="0.5", linestyle="--", linewidth=1, label="best possible")
    axes.set(xlabel="training step", ylabel="validation AUC")
    axes.legend(frameon=False, loc="lower right")  # curves rise, and end below what is possible
    axes.grid(alpha=0.3)


def _draw_sizes(axes: Any, runs: Sequence[Finished]) -> None:
    stored = [run.metrics["stored_bytes"] for run in runs]
    bars = axes.barh([run.name for run in runs], stored, color=COLOURS[: len(runs)])
    labels = [
        f" {bytes_ / 1e6:.3g} MB, AUC {run.metrics['test_auc']:.4f}" for run, bytes_ in zip(runs, stored, strict=True)
    ]
    axes.bar_label(bars, labels)
    axes.set_xscale("log")
    axes.set_xlim(min(stored) / 3, max(stored) * 100)
    axes.invert_yaxis()
    axes.set(xlabel="bytes stored by the embeddings (log scale)")
    axes.spines[["top", "right"]].set_visible(False)
