"""A figure's paper: narrow, with letters large enough for a phone, and saved as PNG and SVG."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketrec.errors import UsageError
from pocketrec.files import atomic_path

WIDTH, HEIGHT = 4.8, 3.6  # inches; a phone shows them at three quarters of their size, so 10 points stay legible
LEGEND_ROW = 0.2  # inches
LETTERS = ((4, 7), (3, 13))
"""Columns of a legend, and how many letters their labels may have."""
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 6.5,
    "svg.hashsalt": "pocketrec",  # the same rows give the same file
}


@dataclass(frozen=True)
class Picture:
    """A figure of the report. `alternative` tells in words what is seen; `missing` says why it could not be drawn."""

    stem: str
    title: str
    caption: str
    alternative: str = ""
    draw: Callable[[Any], None] | None = None
    height: float = HEIGHT
    missing: str = ""


def save(picture: Picture, folder: Path) -> str:
    """Write `STEM.svg` and `STEM.png` into `folder`; returns the SVG as a data URI.

    Raises:
        UsageError: matplotlib is not installed.
    """
    with _figure(picture.height) as figure:
        assert picture.draw is not None
        picture.draw(figure)
        for ending, options in (("png", {"dpi": 200}), ("svg", {"metadata": {"Date": None}})):
            with atomic_path(folder / f"{picture.stem}.{ending}") as part:
                figure.savefig(part, format=ending, **options)
    drawn = (folder / f"{picture.stem}.svg").read_bytes()
    return "data:image/svg+xml;base64," + base64.b64encode(drawn).decode("ascii")


def legend(figure: Any, handles: Mapping[str, Any]) -> None:
    """Above the axes, by label, in as many columns as fit; the figure grows by what further rows take."""
    longest = max(map(len, handles))
    columns = next((columns for columns, most in LETTERS if longest <= most), 2)
    figure.set_figheight(figure.get_figheight() + LEGEND_ROW * ((len(handles) - 1) // columns))
    figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=columns)


def handles_of(panels: Iterable[Any]) -> dict[str, Any]:
    """What the axes drew with a label, each label once."""
    return {text: handle for axes in panels for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}


@contextmanager
def _figure(height: float) -> Iterator[Any]:
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("the report's figures need matplotlib: pip install 'pocketrec[plot]'") from None
    with rc_context(STYLE):
        yield Figure(figsize=(WIDTH, height), layout="constrained")
