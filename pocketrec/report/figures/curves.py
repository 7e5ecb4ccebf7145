"""Learning curves: validation AUC against optimiser steps, a panel per compression."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import partial
from typing import Any

from pocketrec.report.evidence import Evidence, label
from pocketrec.report.figures.canvas import Picture, handles_of, legend
from pocketrec.report.looks import FULL_COLOUR, Look, name_of
from pocketrec.report.words import times
from pocketrec.study import Curve, Summary

TITLE = "How they learn"
CAPTION = (
    "Validation AUC at each evaluation: mean over seeds, with the range over seeds in light. Black: full tables, the "
    "same in each panel. A curve ends where the first of its seeds stopped."
)
PANEL, MARGIN = 1.9, 1.0  # inches
FULL_LOOK = Look(FULL_COLOUR, "", "-")


def picture(evidence: Evidence) -> Picture:
    """The figure, or why there is none."""
    shown = [s for s in evidence.measured if evidence.curves_of(s)]
    if not shown:
        return Picture("curves", TITLE, CAPTION, missing="no run of a compressed model has left its history")
    cells = [*([evidence.full] if evidence.full else []), *shown]
    told = "; ".join(f"{label(s.cell)} from {_told(evidence.curves_of(s))}" for s in cells if evidence.curves_of(s))
    compressions = sorted({s.cell.compression for s in shown})
    draw, height = partial(_draw, evidence, compressions), MARGIN + PANEL * len(compressions)
    return Picture("curves", TITLE, CAPTION, f"Mean validation AUC: {told}.", draw, height)


def mean_curve(curves: Sequence[Curve]) -> list[tuple[int, float, float, float]]:
    """(step, lowest, mean, highest) over seeds, at the steps where all of them were evaluated."""
    steps = sorted(set.intersection(*(set(curve.steps) for curve in curves)))
    at = [dict(zip(curve.steps, curve.auc, strict=True)) for curve in curves]
    found = [[values[step] for values in at] for step in steps]
    return [(s, min(aucs), statistics.fmean(aucs), max(aucs)) for s, aucs in zip(steps, found, strict=True)]


def _told(curves: Sequence[Curve]) -> str:
    if not (curve := mean_curve(curves)):
        return "evaluations at different steps"
    (first, _, start, _), (last, _, end, _) = curve[0], curve[-1]
    return f"{start:.4f} after {first:,} steps to {end:.4f} after {last:,}"


def _draw(evidence: Evidence, compressions: Sequence[float], figure: Any) -> None:
    panels = figure.subplots(len(compressions), 1, sharex=True, squeeze=False)[:, 0]
    for axes, compression in zip(panels, compressions, strict=True):
        if evidence.full:
            _draw_cell(axes, evidence, evidence.full, FULL_LOOK)
        for scheme, look in evidence.looks.items():
            for summary in evidence.of_scheme(scheme):
                if summary.cell.compression == compression:
                    _draw_cell(axes, evidence, summary, look)
        axes.set_title(times(compression))
        axes.set_ylabel("validation AUC")
    panels[-1].set_xlabel("optimiser steps")
    legend(figure, handles_of(panels))


def _draw_cell(axes: Any, evidence: Evidence, summary: Summary, look: Look) -> None:
    points = mean_curve(evidence.curves_of(summary)) if evidence.curves_of(summary) else []
    if not points:
        return
    steps, low, mean, high = zip(*points, strict=True)
    axes.fill_between(steps, low, high, color=look.colour, alpha=0.2, linewidth=0)
    axes.plot(
        steps, mean, color=look.colour, marker=look.marker, linestyle=look.dash, label=name_of(summary.cell.scheme),
        markersize=4.5, markevery=max(1, len(steps) // 8),
    )  # fmt: skip
