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
from typing import Any, NamedTuple

import numpy as np
import torch

from pocketrec import Clustered, DeepHash, EmbeddingBagCollection, HotCold, Robe, Table, full_bytes, stored_bytes
from pocketrec.errors import UsageError
from pocketrec.report import COLOURS
from pocketrec.sharing import SCHEMES

FIGURES = Path(__file__).parent / "figures"
USERS, DIM = 20, 8
TABLES = (Table("user", USERS, DIM), Table("item", 3, DIM))
OPTIONS: Mapping[str, Any] = {
    "robe": Robe(chunk_size=4),
    "cce": Clustered(columns=2),
    "dhe": DeepHash(activation="mish"),
    "hot-cold": HotCold(cold=Robe(chunk_size=4), ways=1, candidates=1),
}
"""Where a scheme's defaults are made for wider rows."""
BUDGETS: Mapping[str, int] = {"cce": 80, "low-rank": 80, "dhe": 80}
"""Slots, where 64 show too little."""
OFTEN = 3
"""The user who has come most often."""

Pattern = np.ndarray
"""Of one kind of weights: the derivative of each element of each row by each of them, (rows, D, weights)."""

# In pixels.
WIDTH, HEIGHT = 800, 220
ROW_TOP, ROW_HEIGHT, CELL = 22, 26, 21
STRIP_TOP, STRIP_HEIGHT = 142, 42
GAP = 34
INK, FAINT = "#333", "#e8e8e8"
STYLE = (
    "text{font:11px Helvetica,Arial,sans-serif;text-anchor:middle;fill:#333}"
    ".n{font-size:9px;fill:#fff}.t{font-size:12px;font-weight:bold}.l{text-anchor:start}.r{text-anchor:end}"
)


def main(words: Sequence[str]) -> None:
    """Draw the figures of these schemes, of all if none is named."""
    FIGURES.mkdir(exist_ok=True)
    for word in words or SCHEMES:
        (FIGURES / f"{word}.svg").write_text(figure(word), encoding="utf-8")


def figure(word: str) -> str:
    """The figure of one scheme, in SVG."""
    module = build(word)
    user, item = company(module)
    patterns = jacobian(module, (OFTEN, user), item)
    names = [f"user[{OFTEN}]", f"user[{user}]", f"item[{item}]"]
    strips = _strips({name: own.shape[2] for name, own in patterns.items()})
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">',
        f"<title>{word}: which stored numbers serve which elements of three rows</title>",
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        *(line for name, own in patterns.items() for line in _ribbons(strips[name], own)),
        *(line for row, name in enumerate(names) for line in _row(row, name)),
        *(line for name, own in patterns.items() for line in _strip(strips[name], name, own)),
        *_caption(module),
        "</svg>\n",
    ]
    return "\n".join(lines)


def build(word: str) -> EmbeddingBagCollection:
    """The tables, shared; one user has been seen often."""
    scheme = OPTIONS.get(word) or SCHEMES[word]()
    torch.manual_seed(0)
    for slots in (BUDGETS.get(word, 64), 80, 104, 128, 256):
        budget = None if scheme.row_sparse else slots
        try:
            module = EmbeddingBagCollection(TABLES, scheme, memory_size=budget, init=1.0)
        except UsageError:
            continue
        module.train()(torch.tensor([[OFTEN, item] for item in (0, 1, 2)]))
        return module.eval()
    raise AssertionError(f"{word}: no budget that was tried is enough")


def jacobian(module: EmbeddingBagCollection, users: Sequence[int], item: int) -> dict[str, Pattern]:
    """The users' rows and the item's by the memory, and by all weights that lie beside it."""
    out = module(torch.tensor([[user, item] for user in users]))
    elements = torch.cat([out[:, 0], out[:1, 1]]).flatten()
    found = {}
    for name, parameters in _weights(module).items():
        grads = [torch.autograd.grad(e, parameters, retain_graph=True, allow_unused=True) for e in elements]
        flat = [np.concatenate([_dense(g, p) for g, p in zip(own, parameters, strict=True)]) for own in grads]
        found[name] = np.stack(flat).reshape(len(users) + 1, DIM, -1)
    return found


def _weights(module: EmbeddingBagCollection) -> dict[str, list[torch.nn.Parameter]]:
    beside = [(name.split(".")[1], p) for name, p in module.named_parameters() if "." in name]
    memory = "tables" if module.sparse_gradients else "memory"
    found = {memory: [p for name, p in module.named_parameters() if "." not in name]}
    if beside:
        found[" and ".join(sorted({name for name, _ in beside}))] = [p for _, p in beside]
    return found


def _dense(grad: torch.Tensor | None, parameter: torch.Tensor) -> np.ndarray:
    if grad is None:
        return np.zeros(parameter.numel())
    dense: np.ndarray = (grad.to_dense() if grad.is_sparse else grad).flatten().numpy()
    return dense


def company(module: EmbeddingBagCollection) -> tuple[int, int]:
    """Whom to draw beside the frequent user: one who shares slots, but few, if there is one, and an item.

    Rows that lie in as many slots as they can are preferred, as they are easier to see.
    """

    def slots(user: int, item: int) -> list[set[int]]:
        served = next(iter(jacobian(module, (user,), item).values()))
        return [set(np.flatnonzero(row.any(0)).tolist()) for row in served]

    own, others = slots(OFTEN, 0)[0], [user % USERS for user in range(OFTEN + 1, OFTEN + USERS)]
    of_users = {user: slots(user, 0)[0] for user in others}
    few = {user: len(own & other) or 1 << 30 for user, other in of_users.items()}
    of_items = {item: slots(OFTEN, item)[1] for item in range(3)}
    user = min(of_users, key=lambda user: (few[user], -len(of_users[user])))
    return user, max(of_items, key=lambda item: len(of_items[item]))


class Strip(NamedTuple):
    """Weights that lie side by side."""

    left: float
    cell: float
    number: int


class Ribbon(NamedTuple):
    """A run of elements and the run of weights that serve them: one each, or each of them all."""

    element: int
    elements: int
    weight: int
    weights: int
    one_each: bool


def runs(served: np.ndarray) -> Iterator[Ribbon]:
    """The pattern (D, weights) of one row in few ribbons."""
    sets = [tuple(np.flatnonzero(column).tolist()) for column in served.T]
    start = 0
    while start < len(sets):
        own, stop = sets[start], start + 1
        one_each = sets[stop : stop + 1] == [_moved(own, 1)] != [own]
        while stop < len(sets) and sets[stop] == (_moved(own, stop - start) if one_each else own):
            stop += 1
        if one_each:
            yield from (Ribbon(element, stop - start, start, stop - start, True) for element in own)
        else:
            yield from (Ribbon(first, last - first, start, stop - start, False) for first, last in _intervals(own))
        start = stop


def _moved(elements: Sequence[int], by: int) -> tuple[int, ...]:
    return tuple(element + by for element in elements)


def _intervals(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """0 1 2 5 -> (0, 3), (5, 6)"""
    firsts = [n for n in numbers if n - 1 not in numbers]
    return list(zip(firsts, [n + 1 for n in numbers if n + 1 not in numbers], strict=True))


def _strips(numbers: Mapping[str, int]) -> dict[str, Strip]:
    cell = min((WIDTH - 2 - GAP * (len(numbers) - 1)) / sum(numbers.values()), CELL)
    left, found = (WIDTH - cell * sum(numbers.values()) - GAP * (len(numbers) - 1)) / 2, {}
    for name, number in numbers.items():
        found[name] = Strip(left, cell, number)
        left += number * cell + GAP
    return found


def _left_of_row(row: int) -> float:
    return WIDTH * (2 * row + 1) / 6 - CELL * DIM / 2


def _row(row: int, name: str) -> Iterator[str]:
    left = _left_of_row(row)
    yield f'<text class="t" x="{left + CELL * DIM / 2:g}" y="{ROW_TOP - 7}" style="fill:{COLOURS[row]}">{name}</text>'
    for element in range(DIM):
        yield from _cell(left + element * CELL, ROW_TOP, CELL, ROW_HEIGHT, COLOURS[row], str(element))


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
            yield from _cell(left, STRIP_TOP, strip.cell, STRIP_HEIGHT, FAINT, "")
        for band, row in enumerate(rows):
            height = STRIP_HEIGHT / len(rows)
            text = _numbers(by_row[row])
            text = text if strip.cell > (7 if len(text) == 1 else 9) else ""
            yield from _cell(left, STRIP_TOP + band * height, strip.cell, height, COLOURS[row], text)
        if len(rows) > 1:
            where = f'x="{left:.4g}" y="{STRIP_TOP}" width="{strip.cell:.4g}" height="{STRIP_HEIGHT}"'
            yield f'<rect {where} fill="none" stroke="#000" stroke-width="1.5"/>'
    told = f"{name}: {strip.number} {'slots' if name in ('memory', 'tables') else 'weights'}"
    right = strip.left + strip.number * strip.cell
    fits = strip.left + 6 * len(told) < WIDTH
    where = f'class="l" x="{strip.left:.4g}"' if fits else f'class="r" x="{right:.4g}"'
    yield f'<text {where} y="{STRIP_TOP + STRIP_HEIGHT + 14}">{told}</text>'


def _cell(left: float, top: float, width: float, height: float, colour: str, text: str) -> Iterator[str]:
    edge = min(0.5, width / 10)
    where = f'x="{left + edge:.4g}" y="{top + 0.5:g}" width="{width - 2 * edge:.4g}" height="{height - 1:g}"'
    yield f'<rect {where} fill="{colour}"/>'
    if text:
        x, y = left + width / 2, top + height / 2
        turned = f' transform="rotate(-90 {x:.4g} {y:.4g})"' if 4 * len(text) > width else ""
        yield f'<text class="n" x="{x:.4g}" y="{y + 3.2:.4g}"{turned}>{text}</text>'


def _numbers(derivatives: np.ndarray) -> str:
    """Those that are not 0, as 0-2,5; a single one of -1 as -3."""
    elements = np.flatnonzero(derivatives).tolist()
    if len(elements) == 1:
        return f"-{elements[0]}" if derivatives[elements[0]] == -1 else f"{elements[0]}"
    return ",".join(f"{first}" if last == first + 1 else f"{first}-{last - 1}" for first, last in _intervals(elements))


def _caption(module: EmbeddingBagCollection) -> Iterator[str]:
    stored = [] if module.recovery is None else [id(t) for t in module.recovery.stored()]
    maps = [(name.split(".")[-1], b) for name, b in module.named_buffers() if id(b) in stored and b.numel() > 1]
    told = [f"{name}: {b.numel() * b.element_size()} bytes" for name, b in maps]
    told.append(f"{stored_bytes(module)} of {full_bytes(module)} bytes stored")
    yield f'<text class="r" x="{WIDTH - 1}" y="{HEIGHT - 6}">{" · ".join(told)}</text>'


if __name__ == "__main__":
    main(sys.argv[1:])
