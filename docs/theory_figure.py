"""Draws docs/theory.svg: what three formulas say (lines), and what the kernels did (dots).

    python docs/theory_figure.py

Every dot is measured when this runs, on rows that the library looked up; tests/theory holds the figure against it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import svg
import torch

from pocketrec import EmbeddingBagCollection, Robe, Table, theory

FIGURE = Path(__file__).parent / "theory.svg"
# Okabe & Ito's palette, which colour-blind readers can tell apart.
BLUE, RED, GREEN = "#0072B2", "#D55E00", "#009E73"
HEIGHT, TOP, BOTTOM = 250, 40, 180
"""In pixels."""
Points = list[tuple[float, float]]


def main() -> None:
    """Draw the figure."""
    FIGURE.write_text(figure(), encoding="utf-8")


def figure() -> str:
    """In SVG."""

    def marks() -> Iterator[str]:
        for number, panel in enumerate((loads(), errors(), conditions())):
            yield from panel.marks(42 + number * 266, 210)

    return svg.page(
        "Slot loads, errors of inner products and condition numbers: formulas and measurements", HEIGHT, marks()
    )


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    title: str
    below: str
    ticks: tuple[Sequence[float], Sequence[float]]
    """Of x and y; the first and last are the ends of the axis."""
    lines: Sequence[tuple[str, Points]]
    """Colour, and the line."""
    dots: Sequence[tuple[str, str, Points]]
    """Name, colour, and the dots."""
    logarithmic: bool = False
    """Of y."""

    def marks(self, left: float, width: float) -> Iterator[str]:
        """The axes, then what is in them, then the names."""
        (xs, ys), scale = self.ticks, math.log if self.logarithmic else float

        def x(value: float) -> float:
            return left + width * (value - xs[0]) / (xs[-1] - xs[0])

        def y(value: float) -> float:
            return BOTTOM - (BOTTOM - TOP) * (scale(value) - scale(ys[0])) / (scale(ys[-1]) - scale(ys[0]))

        yield f'<text class="t" x="{left + width / 2:g}" y="20">{self.title}</text>'
        for tick in ys:
            yield f'<path stroke="{svg.FAINT}" d="M{left:g} {y(tick):.1f}h{width:g}"/>'
            yield f'<text class="r" x="{left - 5:g}" y="{y(tick) + 4:.1f}">{tick:g}</text>'
        for tick in xs:
            yield f'<text x="{x(tick):.1f}" y="{BOTTOM + 15}">{tick:g}</text>'
        for colour, points in self.lines:
            path = "L".join(f"{x(a):.1f} {y(b):.1f}" for a, b in points)
            yield f'<path fill="none" stroke="{colour}" stroke-width="1.5" d="M{path}"/>'
        for _, colour, points in self.dots:
            for a, b in points:
                yield f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="2.6" fill="{colour}"/>'
        yield f'<text x="{left + width / 2:g}" y="{BOTTOM + 31}">{self.below}</text>'
        for number, (name, colour, _) in enumerate(self.dots):
            at = left + number * width / len(self.dots)
            yield f'<circle cx="{at + 4:.1f}" cy="{BOTTOM + 50}" r="2.6" fill="{colour}"/>'
            yield f'<text class="l" x="{at + 10:.1f}" y="{BOTTOM + 54}">{name}</text>'


def places(rows: int, dim: int, slots: int, scheme: Robe, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The slot and the sign behind each element of the first rows of a table, (rows, D): of a memory of 1, 2, 3, ..."""
    module = EmbeddingBagCollection(
        [Table("table", None, dim)], scheme, memory_size=slots, seed=seed, dtype=torch.float64
    )
    with torch.no_grad():
        module.get_parameter("memory").copy_(torch.arange(1, slots + 1))
        found = module.lookup(torch.arange(rows)[:, None]).numpy()
    return np.abs(found).astype(np.int64) - 1, np.sign(found)


def loads() -> Panel:
    """Of consecutive ids: the mixing hash does what chance does, the linear hash better."""
    rows, dim, slots = 20_000, 16, 27_000
    chance = theory.load_distribution(rows * dim, slots, 4)

    def shares(name: str) -> Points:
        at, _ = places(rows, dim, slots, Robe(4, hash=name))
        counts = np.bincount(np.bincount(at.ravel(), minlength=slots), minlength=31)
        return [(load, counts[load] / slots) for load in range(31) if counts[load]]

    line = [(float(load), chance.pmf(load)) for load in range(31)]
    dots = [("mixing hash", BLUE, shares("mixing")), ("linear hash", RED, shares("linear"))]
    ticks = (0, 10, 20, 30), (0, 0.05, 0.1, 0.15)
    return Panel("Share of slots", "load: elements that a slot serves", ticks, [(svg.INK, line)], dots)


def errors() -> Panel:
    """Standard deviation of <R'x, R'y> over |x||y|, times sqrt(M): draws of the hash and of x and y."""
    dim, slots, sizes = 16, 64, (1, 2, 4, 8, 16)

    def measured(rows: int) -> Points:
        return [(size, _error(rows, dim, slots, size) * math.sqrt(slots)) for size in sizes]

    def expected(rows: int) -> Points:
        return [
            (z, theory.relative_error(dim, slots, z, rows) * math.sqrt(slots))
            for z in range(1, dim + 1)
            if dim % z == 0
        ]

    lines = [(BLUE, _smooth(expected(1), dim)), (RED, expected(16))]
    dots = [("1 row", BLUE, measured(1)), ("16 rows", RED, measured(16))]
    return Panel("Error · √M of an inner product", "chunk size Z, of D = 16", (sizes, (0, 0.5, 1)), lines, dots)


def _smooth(points: Points, dim: int) -> Points:
    """sqrt(1 - Z/D) between the sizes that divide D, so that the line is the curve it stands for."""
    first = points[0][1] / math.sqrt(1 - 1 / dim)
    return [(z, first * math.sqrt(1 - z / dim)) for z in np.linspace(1, dim, 61).tolist()]


def _error(rows: int, dim: int, slots: int, chunk: int, draws: int = 8000) -> float:
    at, signs = (v.reshape(draws, -1) for v in places(draws * rows, dim, slots, Robe(chunk, signed=True)))
    x, y = np.random.default_rng(0).standard_normal((2, draws, rows * dim))
    cells = (at + slots * np.arange(draws)[:, None]).ravel()
    stored = [np.bincount(cells, (signs * v).ravel(), draws * slots).reshape(draws, slots) for v in (x, y)]
    off = (stored[0] * stored[1]).sum(1) - (x * y).sum(1)
    return float(np.sqrt((off**2).mean()) / (rows * dim))


def conditions() -> Panel:
    """Of the Gram matrix of a readout of rows, to fit ids with."""
    slots, shares = 600, (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    line = [(g, theory.readout_inflation(round(g * slots), slots)) for g in np.linspace(0.01, 0.6, 60).tolist()]

    def measured(dim: int, chunk: int) -> Points:
        return [(g, _condition(round(g * slots), dim, chunk, slots)) for g in shares]

    dots = [("16 chunks a row", BLUE, measured(64, 4)), ("4 chunks", RED, measured(64, 16))]
    ticks = (0, 0.2, 0.4, 0.6), (1, 10, 100)
    return Panel("Condition number of a readout", "ids that count, per slot", ticks, [(svg.INK, line)], dots, True)


def _condition(ids: int, dim: int, chunk: int, slots: int) -> float:
    def once(seed: int) -> float:
        at, signs = places(ids, dim, slots, Robe(chunk, signed=True), seed)
        readout = np.zeros((ids, slots))
        np.add.at(readout, (np.arange(ids)[:, None], at), signs * np.random.default_rng(seed).choice([-1.0, 1.0], dim))
        return float(np.linalg.cond(readout @ readout.T))

    return _median(once(seed) for seed in range(5))


def _median(values: Iterable[float]) -> float:
    return float(np.median(list(values)))


if __name__ == "__main__":
    main()
