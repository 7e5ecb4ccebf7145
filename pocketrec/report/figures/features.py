"""Which feature's table suffers most from sharing: permutation importance lost, a bar per compression."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pocketrec.report.evidence import Evidence, label
from pocketrec.report.figures.canvas import Picture
from pocketrec.report.looks import Look, name_of
from pocketrec.report.words import signed, times
from pocketrec.study import FULL, Cell

TITLE = "Which feature suffers most"
CAPTION = (
    "Permutation importance that sharing took from a feature: how much validation AUC falls when its ids are shuffled "
    "among the rows, in full tables minus in the compressed model. Darker is more compressed. One seed: an order, "
    "no more."
)
MOST, BAR, GAP, MARGIN = 8, 0.1, 0.1, 0.6
SHADES = (0.35, 1.0)
"""Opacity of the least and the most compressed."""
Lost = Mapping[Cell, Mapping[str, float]]


def picture(evidence: Evidence) -> Picture:
    """The figure, or why there is none."""
    lost = lost_by_cell(evidence)
    if not lost:
        return Picture("features", TITLE, CAPTION, missing="features were not measured")
    shown = worst_features(lost)
    schemes = list(dict.fromkeys(cell.scheme for cell in lost))
    bars = sum(len(shown) * sum(cell.scheme == scheme for cell in lost) for scheme in schemes)
    told = "; ".join(f"{label(cell)}: {_told(cell_lost)}" for cell, cell_lost in lost.items())
    height = MARGIN + len(schemes) * (0.35 + GAP * len(shown)) + BAR * bars
    number = len({feature for cell_lost in lost.values() for feature in cell_lost})
    caption = CAPTION if len(shown) == number else f"{CAPTION} The {len(shown)} of {number} features that lose most."
    draw = partial(_draw, evidence, lost, shown)
    return Picture("features", TITLE, caption, f"Importance lost, the most first: {told}.", draw, height)


def lost_by_cell(evidence: Evidence) -> Lost:
    """Importance lost by feature, mean over the seeds measured, of each compressed cell."""
    found: dict[Cell, dict[str, list[float]]] = {}
    for row in evidence.study.features:
        cell = Cell(row["scheme"], float(row["compression"]))
        if cell != FULL and row["lost_auc"]:
            found.setdefault(cell, {}).setdefault(row["feature"], []).append(float(row["lost_auc"]))
    return {c: {f: statistics.fmean(values) for f, values in found[c].items()} for c in sorted(found)}


def worst_features(lost: Lost) -> list[str]:
    """At most `MOST` features, first the one that loses most in any cell."""
    most: dict[str, float] = {}
    for cell_lost in lost.values():
        for feature, value in cell_lost.items():
            most[feature] = max(value, most.get(feature, value))
    return sorted(most, key=lambda feature: -most[feature])[:MOST]


def _told(cell_lost: Mapping[str, float]) -> str:
    most = sorted(cell_lost, key=lambda feature: -cell_lost[feature])[:3]
    return ", ".join(f"{feature} {signed(-cell_lost[feature])}" for feature in most)


def _draw(evidence: Evidence, lost: Lost, shown: Sequence[str], figure: Any) -> None:
    schemes = [scheme for scheme in evidence.looks if any(cell.scheme == scheme for cell in lost)]
    panels = figure.subplots(len(schemes), 1, sharex=True, squeeze=False)[:, 0]
    for axes, scheme in zip(panels, schemes, strict=True):
        _draw_scheme(axes, {c: v for c, v in lost.items() if c.scheme == scheme}, shown, evidence.looks[scheme])
        axes.set_title(name_of(scheme))
    panels[-1].set_xlabel("importance lost (validation AUC)")


def _draw_scheme(axes: Any, lost: Lost, shown: Sequence[str], look: Look) -> None:
    height = 0.8 / len(lost)
    for i, (cell, cell_lost) in enumerate(lost.items()):
        opacity = SHADES[1] if len(lost) == 1 else SHADES[0] + (SHADES[1] - SHADES[0]) * i / (len(lost) - 1)
        places = [place + (i - (len(lost) - 1) / 2) * height for place in range(len(shown))]
        axes.barh(
            places, [cell_lost.get(feature, 0) for feature in shown], 0.9 * height, color=look.colour, alpha=opacity,
            label=times(cell.compression),
        )  # fmt: skip
    axes.axvline(0, color="0.3", linewidth=1)
    axes.set_yticks(range(len(shown)), shown)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.legend(loc="lower right")
