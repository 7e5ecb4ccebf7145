"""Test AUC against stored bytes: what a smaller model costs in quality."""

from __future__ import annotations

from functools import partial
from typing import Any

from pocketrec.report.evidence import Evidence, label
from pocketrec.report.figures.canvas import Picture, handles_of, legend
from pocketrec.report.looks import FULL_COLOUR, FULL_MARKER, name_of
from pocketrec.report.words import size
from pocketrec.study import Summary

TITLE = "How small before quality drops"
CAPTION = (
    "Test AUC against what the embeddings store: mean over seeds, with its 95 % interval (Student's t). "
    "Black: full tables, with theirs in grey. Left is smaller, up is better. Differences paired by seed, as in the "
    "verdict, are surer than these intervals look."
)


def picture(evidence: Evidence) -> Picture:
    """The figure, or why there is none."""
    if not evidence.measured:
        return Picture("auc-by-size", TITLE, CAPTION, missing="no compressed model has finished yet")
    cells = [*([evidence.full] if evidence.full else []), *evidence.measured]
    told = "; ".join(
        f"{label(s.cell)}, {size(s.stored_bytes or 0)}: {s.test_auc.mean:.4f}" for s in cells if s.test_auc
    )
    return Picture("auc-by-size", TITLE, CAPTION, f"Test AUC of {told}.", partial(_draw, evidence))


def _draw(evidence: Evidence, figure: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator

    axes = figure.subplots()
    if evidence.full:
        _draw_full(axes, evidence.full)
    for scheme, look in evidence.looks.items():
        cells = [(s.stored_bytes, s.test_auc) for s in evidence.of_scheme(scheme) if s.test_auc]
        axes.errorbar(
            [stored for stored, _ in cells],
            [auc.mean for _, auc in cells],
            [auc.half_width or 0 for _, auc in cells],
            color=look.colour, marker=look.marker, linestyle=look.dash, capsize=3, label=name_of(scheme),
        )  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: size(value)))
    axes.minorticks_off()
    axes.set(xlabel="stored by the embeddings (log scale)", ylabel="test AUC")
    legend(figure, handles_of([axes]))


def _draw_full(axes: Any, full: Summary) -> None:
    assert full.test_auc
    mean, low, high = full.test_auc.mean, full.test_auc.low, full.test_auc.high
    if low is not None and high is not None:
        axes.axhspan(low, high, color="0.85", linewidth=0)
    axes.axhline(mean, color=FULL_COLOUR, linewidth=1.2)
    axes.plot([full.stored_bytes], [mean], color=FULL_COLOUR, marker=FULL_MARKER, markersize=9, label=name_of("full"))
