"""A ratio to full tables against compression, a line per scheme, with the paper's figure as a star."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pocketrec.report.looks import FULL_COLOUR, PAPER_MARKER, Look, name_of
from pocketrec.report.paper import COMPRESSION as PAPER_COMPRESSION
from pocketrec.report.words import times

APART, TOGETHER = 1.3, 5.0
"""Marks of schemes that never got there stand side by side: each so many times further right, all within so much."""


class Point(NamedTuple):
    """A cell's ratio, and its range over seeds."""

    compression: float
    ratio: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """A scheme's points, and the compressions at which it never got there."""

    points: Sequence[Point]
    never: Sequence[float] = ()


def draw_ratios(
    axes: Any, lines: Mapping[str, Line], looks: Mapping[str, Look], paper: float, *, shade_below_one: bool = False
) -> None:  # fmt: skip
    """The lines, the line at 1, the star; above them a row of hollow marks for never."""
    points = [point for line in lines.values() for point in line.points]
    never = [compression for line in lines.values() for compression in line.never]
    height = _ratio_axis(axes, [paper, *(end for point in points for end in point[1:])], bool(never))
    _compression_axis(axes, [*(point.compression for point in points), *never])
    if shade_below_one:
        axes.axhspan(axes.get_ylim()[0], 1, color="0.92", linewidth=0, zorder=0)
    axes.axhline(1, color=FULL_COLOUR, linewidth=1.2, label=name_of("full"))
    apart = min(APART, TOGETHER ** (1 / len(lines)))
    for i, (scheme, line) in enumerate(lines.items()):
        _draw_line(axes, scheme, line, looks[scheme])
        places = [compression * apart ** (i - (len(lines) - 1) / 2) for compression in line.never]
        _draw_hollow(axes, places, height, looks[scheme])
    _draw_star(axes, paper)


def _draw_line(axes: Any, scheme: str, line: Line, look: Look) -> None:
    below = [p.ratio - p.low for p in line.points]
    above = [p.high - p.ratio for p in line.points]
    axes.errorbar(
        [p.compression for p in line.points], [p.ratio for p in line.points], [below, above],
        color=look.colour, marker=look.marker, linestyle=look.dash, capsize=3, label=name_of(scheme),
    )  # fmt: skip


def _draw_hollow(axes: Any, places: Sequence[float], height: float, look: Look) -> None:
    axes.plot(
        places, [height] * len(places), color=look.colour, marker=look.marker, linestyle="", fillstyle="none",
        markeredgewidth=1.6,
    )  # fmt: skip


def _draw_star(axes: Any, paper: float) -> None:
    bottom, top = axes.get_ylim()
    under = paper > (bottom * top) ** 0.5
    axes.plot([PAPER_COMPRESSION], [paper], color="0.35", marker=PAPER_MARKER, markersize=13, linestyle="")
    axes.annotate(
        f"paper: {times(paper)}", (PAPER_COMPRESSION, paper), (0, -9 if under else 9),
        textcoords="offset points", ha="center", va="top" if under else "bottom", color="0.25",
    )  # fmt: skip


def _compression_axis(axes: Any, compressions: Iterable[float]) -> None:
    ticks = sorted({*compressions, PAPER_COMPRESSION})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [times(x) for x in ticks])
    axes.minorticks_off()
    axes.set_xlim(ticks[0] / 2, ticks[-1] * 2.8)
    axes.set_xlabel("compression (log scale)")


def _ratio_axis(axes: Any, values: Sequence[float], never: bool) -> float:
    """Logarithmic, with room around the values and 1; returns the height of the row called never."""
    low, high = min([*values, 1.0]) / 1.3, max([*values, 1.0]) * 1.3
    room = (high / low) ** 0.16
    top = high * room if never else high
    axes.set_yscale("log")
    axes.set_ylim(low, top)
    steps = (1, 2, 5) if high / low > 12 else (1, 1.5, 2, 3, 4, 5, 7)
    ticks = [x for power in range(-4, 7) for step in steps if low <= (x := step * 10.0**power) <= high]
    row = high * room**0.4
    if never:
        axes.axhline(high, color="0.6", linewidth=1, linestyle=":")
    axes.set_yticks([*ticks, *([row] if never else [])], [*(f"{x:g}x" for x in ticks), *(["never"] if never else [])])
    axes.minorticks_off()
    return float(row)
