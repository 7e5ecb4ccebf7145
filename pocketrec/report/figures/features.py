"""Which feature's table suffers most from sharing: permutation importance lost, a bar per compression."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from pocketrec.report.evidence import Evidence, label
from pocketrec.report.figures.canvas import Picture, legend
from pocketrec.report.looks import name_of
from pocketrec.report.words import signed, times
from pocketrec.study import FULL, Cell

TITLE = "Which feature suffers most"
CAPTION = (
    "Permutation importance that sharing took from a feature: how much validation AUC falls when its ids are shuffled "
    "among the rows, in full tables minus in the compressed model. Darker is more compressed. One seed: an order, "
    "no more."
)
MOST, MOST_OF_MANY = 8, 5  # features shown; and where there are more than two schemes
BAR, GAP, MARGIN = 0.1, 0.1, 0.8  # inches
MOST_OPAQUE, LEAST_OPAQUE = 1.0, 0.35
Lost = Mapping[Cell, Mapping[str, float]]


def picture(evidence: Evidence) -> Picture:
    """The figure, or why there is none."""
    lost = lost_by_cell(evidence)
    if not lost:
        return Picture("features", TITLE, CAPTION, missing="features were not measured")
    schemes = {cell.scheme for cell in lost}
    shown = worst_features(lost)[: MOST if len(schemes) <= 2 else MOST_OF_MANY]
    told = "; ".join(f"{label(cell)}: {_told(cell_lost)}" for cell, cell_lost in lost.items())
    height = MARGIN + len(schemes) * (0.35 + GAP * len(shown)) + BAR * len(shown) * len(lost)
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
    """First the one that loses most in any cell."""
    most: dict[str, float] = {}
    for cell_lost in lost.values():
        for feature, value in cell_lost.items():
            most[feature] = max(value, most.get(feature, value))
    return sorted(most, key=lambda feature: -most[feature])


def _told(cell_lost: Mapping[str, float]) -> str:
    most = sorted(cell_lost, key=lambda feature: -cell_lost[feature])[:3]
    return ", ".join(f"{feature} {signed(-cell_lost[feature])}" for feature in most)


def _draw(evidence: Evidence, lost: Lost, shown: Sequence[str], figure: Any) -> None:
    from matplotlib.patches import Patch

    schemes = [scheme for scheme in evidence.looks if any(cell.scheme == scheme for cell in lost)]
    shades = shades_of({cell.compression for cell in lost})
    panels = figure.subplots(len(schemes), 1, sharex=True, squeeze=False)[:, 0]
    for axes, scheme in zip(panels, schemes, strict=True):
        own = {cell.compression: cell_lost for cell, cell_lost in lost.items() if cell.scheme == scheme}
        _draw_scheme(axes, own, shown, shades, evidence.looks[scheme].colour)
        axes.set_title(name_of(scheme))
    panels[-1].locator_params(axis="x", nbins=5)
    panels[-1].set_xlabel("importance lost (validation AUC)")
    legend(figure, {times(x): Patch(color="black", alpha=shade, linewidth=0) for x, shade in shades.items()})


def shades_of(compressions: Iterable[float]) -> dict[float, float]:
    """An opacity for each, in order, the same in every panel."""
    ordered = sorted(compressions)
    step = (MOST_OPAQUE - LEAST_OPAQUE) / max(len(ordered) - 1, 1)
    return {x: MOST_OPAQUE - step * (len(ordered) - 1 - i) for i, x in enumerate(ordered)}


def _draw_scheme(
    axes: Any, lost: Mapping[float, Mapping[str, float]], shown: Sequence[str], shades: Mapping[float, float],
    colour: str,
) -> None:  # fmt: skip
    height = 0.8 / len(lost)
    for i, (compression, values) in enumerate(lost.items()):
        places = [place + (i - (len(lost) - 1) / 2) * height for place in range(len(shown))]
        widths = [values.get(feature, 0) for feature in shown]
        axes.barh(places, widths, 0.9 * height, color=colour, alpha=shades[compression])
    axes.axvline(0, color="0.3", linewidth=1)
    axes.set_yticks(range(len(shown)), shown)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
