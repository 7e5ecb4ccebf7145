"""Draws where rows come from, a figure for each sharing scheme: docs/figures/<word>.svg.

    python docs/figures.py            # all of them
    python docs/figures.py robe qr    # some

Nothing is drawn from a formula. Two small tables are shared, three of their rows are looked up, and autograd tells on
which slots, and on which weights beside them, each element depends: a picture shows what the code does. The SVG is
written here and not by a library, so that the same code gives the same bytes everywhere.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import codes
import numpy as np
import svg
from served import DIM, OFTEN, Pattern, build, company, intervals, jacobian, runs

from pocketrec import EmbeddingBagCollection, full_bytes, stored_bytes
from pocketrec.report import COLOURS
from pocketrec.sharing import CODED, SCHEMES

FIGURES = Path(__file__).parent / "figures"

# In pixels.
HEIGHT = 220
ROW_TOP, ROW_HEIGHT, CELL = 22, 26, 21
STRIP_TOP, STRIP_HEIGHT = 142, 42
GAP = 34


def main(words: Sequence[str]) -> None:
    """Draw the figures of these schemes, of all if none is named."""
    FIGURES.mkdir(exist_ok=True)
    for word in words or [*SCHEMES, *CODED]:
        (FIGURES / f"{word}.svg").write_text(figure(word), encoding="utf-8")


def figure(word: str) -> str:
    """The figure of one scheme, in SVG."""
    return codes.figure() if word in CODED else _figure(word)


def _figure(word: str) -> str:
    module = build(word)
    user, item = company(module)
    patterns = jacobian(module, (OFTEN, user), item)
    names = [f"user[{OFTEN}]", f"user[{user}]", f"item[{item}]"]
    strips = _strips({name: own.shape[2] for name, own in patterns.items()})

    def marks() -> Iterator[str]:
        for name, own in patterns.items():
            yield from _ribbons(strips[name], own)
        for row, name in enumerate(names):
            yield from _row(row, name)
        for name, own in patterns.items():
            yield from _strip(strips[name], name, own)
        yield from _caption(module)

    return svg.page(f"{word}: which stored numbers serve which elements of three rows", HEIGHT, marks())


class Strip(NamedTuple):
    """Weights that lie side by side."""

    left: float
    cell: float
    number: int


def _strips(numbers: Mapping[str, int]) -> dict[str, Strip]:
    cell = min((svg.WIDTH - 2 - GAP * (len(numbers) - 1)) / sum(numbers.values()), CELL)
    left, found = (svg.WIDTH - cell * sum(numbers.values()) - GAP * (len(numbers) - 1)) / 2, {}
    for name, number in numbers.items():
        found[name] = Strip(left, cell, number)
        left += number * cell + GAP
    return found


def _left_of_row(row: int) -> float:
    return svg.WIDTH * (2 * row + 1) / 6 - CELL * DIM / 2


def _row(row: int, name: str) -> Iterator[str]:
    left = _left_of_row(row)
    yield f'<text class="t" x="{left + CELL * DIM / 2:g}" y="{ROW_TOP - 7}" style="fill:{COLOURS[row]}">{name}</text>'
    for element in range(DIM):
        yield from svg.cell(left + element * CELL, ROW_TOP, CELL, ROW_HEIGHT, COLOURS[row], str(element))


def _ribbons(strip: Strip, pattern: Pattern) -> Iterator[str]:
    for row, served in enumerate(pattern):
        found = list(runs(served))
        opacity = 0.3 if len(found) < 12 else 0.12
        for ribbon in found:
            x, u = _left_of_row(row) + ribbon.element * CELL, strip.left + ribbon.weight * strip.cell
            if ribbon.one_each:
                threads = [_thread(x + i * CELL, CELL, u + i * strip.cell, strip.cell) for i in range(ribbon.elements)]
            else:
                threads = [_thread(x, CELL * ribbon.elements, u, strip.cell * ribbon.weights)]
            yield f'<path fill="{COLOURS[row]}" fill-opacity="{opacity}" d="{"".join(threads)}"/>'


def _thread(x: float, width: float, u: float, below: float) -> str:
    top, bottom = ROW_TOP + ROW_HEIGHT, STRIP_TOP
    middle = (top + bottom) / 2
    x, width, u, below = x + 1.5, width - 3, u + below * 0.1, below * 0.8
    return (
        f"M{x:g} {top}C{x:g} {middle:g} {u:.4g} {middle:g} {u:.4g} {bottom}h{below:.3g}"
        f"C{u + below:.4g} {middle:g} {x + width:g} {middle:g} {x + width:g} {top}z"
    )


def _strip(strip: Strip, name: str, pattern: Pattern) -> Iterator[str]:
    """Each weight in the colours of the rows it serves, with their elements; a black frame where rows meet."""
    for number in range(strip.number):
        left = strip.left + number * strip.cell
        by_row = pattern[:, :, number]
        rows = np.flatnonzero(by_row.any(1))
        if not len(rows):
            yield from svg.cell(left, STRIP_TOP, strip.cell, STRIP_HEIGHT, svg.FAINT, "")
        for band, row in enumerate(rows):
            height = STRIP_HEIGHT / len(rows)
            text = _numbers(by_row[row])
            text = text if strip.cell > (7 if len(text) == 1 else 9) else ""
            yield from svg.cell(left, STRIP_TOP + band * height, strip.cell, height, COLOURS[row], text)
        if len(rows) > 1:
            where = f'x="{left:.4g}" y="{STRIP_TOP}" width="{strip.cell:.4g}" height="{STRIP_HEIGHT}"'
            yield f'<rect {where} fill="none" stroke="#000" stroke-width="1.5"/>'
    told = f"{name}: {strip.number} {'slots' if name in ('memory', 'tables') else 'weights'}"
    right = strip.left + strip.number * strip.cell
    fits = strip.left + 6 * len(told) < svg.WIDTH
    where = f'class="l" x="{strip.left:.4g}"' if fits else f'class="r" x="{right:.4g}"'
    yield f'<text {where} y="{STRIP_TOP + STRIP_HEIGHT + 14}">{told}</text>'


def _numbers(derivatives: np.ndarray) -> str:
    """Those that are not 0, as 0-2,5; a single one of -1 as -3."""
    elements = np.flatnonzero(derivatives).tolist()
    if len(elements) == 1:
        return f"-{elements[0]}" if derivatives[elements[0]] == -1 else f"{elements[0]}"
    return ",".join(f"{first}" if last == first + 1 else f"{first}-{last - 1}" for first, last in intervals(elements))


def _caption(module: EmbeddingBagCollection) -> Iterator[str]:
    stored = [] if module.recovery is None else [id(t) for t in module.recovery.stored()]
    maps = [(name.split(".")[-1], b) for name, b in module.named_buffers() if id(b) in stored and b.numel() > 1]
    told = [f"{name}: {b.numel() * b.element_size()} bytes" for name, b in maps]
    told.append(f"{stored_bytes(module)} of {full_bytes(module)} bytes stored")
    yield f'<text class="r" x="{svg.WIDTH - 1}" y="{HEIGHT - 6}">{" · ".join(told)}</text>'


if __name__ == "__main__":
    main(sys.argv[1:])
