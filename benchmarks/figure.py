"""Draws `benchmarks/lookup.svg` from the newest rows in `benchmarks/results.csv` (`lookup.py --part size chunk`).

    python benchmarks/figure.py

Left: a lookup's time against the size of the tables. Right: what the chunk size Z costs, in a lookup and in a whole
training step. Times are medians, in copies of the output.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from record import RESULTS

FIGURE = Path(__file__).parent / "lookup.svg"
# Okabe and Ito's colours, told apart with every kind of colour vision; the markers tell the lines apart without any.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
# Text stays text (a small file that can be searched), and the same rows give the same bytes.
STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "pocketrec", "font.family": "sans-serif", "font.size": 9}

Points = dict[float, float]


def main() -> None:
    """Read the rows, draw, save."""
    medians = _medians()
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        _draw_sizes(left, medians)
        _draw_chunks(right, medians)
        figure.savefig(FIGURE, metadata={"Date": None})


def _medians() -> dict[tuple[str, str], float]:
    """(benchmark, who) -> median in copies; a later row replaces an earlier one."""
    with RESULTS.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["unit"] == "x copy"]
    return {(row["benchmark"], row["shape"].split(" | ")[0]): float(row["median"]) for row in rows}


def _points(medians: Mapping[tuple[str, str], float], benchmark: str, who: str) -> Points:
    """x -> median of the rows whose name matches the pattern `who`, in which x is the group."""
    found = {}
    for (measured, name), median in medians.items():
        match = re.fullmatch(who, name)
        if measured == benchmark and match:
            found[float(match[1])] = median
    return dict(sorted(found.items()))


def _draw_sizes(axes: Axes, medians: Mapping[tuple[str, str], float]) -> None:
    lines = {
        "embedding_bag, full table": (r"embedding_bag (\S+) GB", VERMILION, "s"),
        "pocketrec, Z = 32": (r"robe Z=32 (\S+) GB", GREEN, "^"),
        "pocketrec, Z = 128": (r"robe Z=128 (\S+) GB", BLUE, "o"),
    }
    for label, (who, colour, marker) in lines.items():
        _draw(axes, _points(medians, "forward by size", who), label, colour, marker)
    axes.set_xscale("log")
    axes.set_xticks([0.01, 0.1, 1, 10, 100, 1000], ["10 MB", "100 MB", "1 GB", "10 GB", "100 GB", "1 TB"])
    axes.set_xlabel("size of the (virtual) tables")
    axes.set_ylim(bottom=0)
    _finish(axes, "One lookup: a 10 MB memory against full tables")


def _draw_chunks(axes: Axes, medians: Mapping[tuple[str, str], float]) -> None:
    lines = {
        "forward, backward, update": ("train sgd by Z", r"robe Z=(\d+) unfused", PURPLE, "D"),
        "the same, fused": ("train sgd by Z", r"robe Z=(\d+)", VERMILION, "s"),
        "forward": ("forward by Z", r"robe Z=(\d+)", BLUE, "o"),
    }
    for label, (benchmark, who, colour, marker) in lines.items():
        _draw(axes, _points(medians, benchmark, who), label, colour, marker)
    chunks = [2**i for i in range(8)]
    axes.set_xscale("log", base=2)
    axes.set_xticks(chunks, [str(chunk) for chunk in chunks])
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("chunk size Z (D = 128)")
    _finish(axes, "What smaller chunks cost")


def _draw(axes: Axes, points: Points, label: str, colour: str, marker: str) -> None:
    if points:
        axes.plot(list(points), list(points.values()), color=colour, marker=marker, markersize=4, label=label)


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=9)
    axes.minorticks_off()
    axes.set_ylabel("time / copy of the output")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)


if __name__ == "__main__":
    main()
