"""`results.csv` and `timing.csv` -> the README's table of schemes, the settings in the README here, and the figure.

    python studies/schemes/tables.py

A number is the mean over seeds, with the standard deviation of a seed. Cells that are not finished are left open.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.append(str(ROOT))

from studies.book_crossing import tables as book_crossing  # noqa: E402
from studies.schemes import cells  # noqa: E402
from studies.schemes.finished import Finished, end, finished  # noqa: E402
from studies.trials import Rows, read_rows  # noqa: E402

README, SETTINGS, FIGURE = ROOT / "README.md", HERE / "README.md", HERE / "auc.svg"
COMPRESSIONS = sorted(cells.COMPRESSIONS)
STANDARD_ERROR = 0.001
"""Of a difference between two models on the same test rows, at most."""
NOTHING_YET = "The table of all schemes is being run: `studies/schemes/`."
OPEN = "–"  # noqa: RUF001


@dataclass(frozen=True)
class Line:
    """A method at every compression: what finished, or where it ends."""

    method: cells.Method
    cells: Mapping[int, Finished | None]
    ends: Mapping[int, float | None]

    def each(self, tell: Callable[[Finished], str]) -> str:
        """`a / b / c` over compressions."""
        return " / ".join(tell(cell) if cell else OPEN for cell in self.cells.values())


def lines(rows: Rows) -> list[Line]:
    """The methods that finished somewhere or end everywhere, the best at 100x first, then at 10x, at 1000x."""
    found = []
    for method in cells.EVERY:
        own = {x: finished(rows, method, x) for x in COMPRESSIONS}
        found.append(Line(method, own, {x: end(rows, method, x) for x in COMPRESSIONS}))
    ready = [line for line in found if any(line.cells.values())]
    return sorted(
        ready, key=lambda line: [-(c.mean("test_auc") if (c := line.cells[x]) else 0) for x in (100, 10, 1000)]
    )


def markdown(rows: Rows, timing: Rows, reference: Rows) -> str:
    """The README's block."""
    ready = lines(rows)
    if not ready:
        return NOTHING_YET
    best = {x: max((c.mean("test_auc") for line in ready if (c := line.cells[x])), default=0.0) for x in COMPRESSIONS}
    ratios = {row["cell"]: float(row["ratio"]) for row in timing}
    heads = ("scheme", *(f"{x}x" for x in COMPRESSIONS), "stored, MB", "id map, MB", "steps to best", "step time")
    table = [f"| {' | '.join(heads)} |", f"|---|{'---:|' * (len(heads) - 1)}"]
    table += [_row(line, best, ratios) for line in ready]
    return f"![Test AUC against compression](studies/schemes/auc.svg)\n\n{_reference(reference)}\n\n" + "\n".join(table)


def _row(line: Line, best: Mapping[int, float], ratios: Mapping[str, float]) -> str:
    aucs = [_auc(line, x, best[x]) for x in COMPRESSIONS]
    timed = [f"{ratios[name]:.2f}" for x in COMPRESSIONS if (name := line.method.cell(x)) in ratios]
    stored = line.each(lambda c: f"{c.mean('stored_bytes') / 1e6:.3g}")
    id_map = " / ".join(dict.fromkeys(f"{c.mean('id_map_bytes') / 1e6:.3g}" for c in line.cells.values() if c))
    steps = line.each(lambda c: f"{c.mean('steps_to_best'):,.0f}")
    return f"| {' | '.join([line.method.name, *aucs, stored, id_map, steps, (timed or [OPEN])[-1]])} |"


def _auc(line: Line, compression: int, best: float) -> str:
    cell, ended = line.cells[compression], line.ends[compression]
    if cell is None:
        return f"ends near {ended:.0f}x" if ended else OPEN
    mean = f"{cell.mean('test_auc'):.4f}"
    if cell.mean("test_auc") == best:
        mean = f"**{mean}**"
    elif cell.mean("test_auc") > best - STANDARD_ERROR:
        mean = f"*{mean}*"
    return f"{mean} ± {cell.spread('test_auc'):.4f}"


def _reference(rows: Rows) -> str:
    full = [cell for cell in book_crossing.tuned_cells(rows) if cell.name.startswith("full tables")]
    told = (
        f"D={cell.settings['embedding_dim']}, {cell.mean('stored_bytes') / 1e6:.3g} MB: "
        f"{cell.mean('test_auc'):.4f} ± {cell.spread('test_auc'):.4f}"
        for cell in full
    )
    return f"Full tables, for comparison: {'; '.join(told)}. Test AUC:"


def settings_markdown(rows: Rows) -> str:
    """What was chosen for each cell."""
    ready = lines(rows)
    if not ready:
        return NOTHING_YET
    table = [f"| scheme | {' | '.join(f'{x}x' for x in COMPRESSIONS)} |", f"|---|{'---|' * len(COMPRESSIONS)}"]
    for line in ready:
        told = (_settings(cell.settings) if cell else OPEN for cell in line.cells.values())
        table.append(f"| {line.method.name} | {' | '.join(told)} |")
    return "\n".join(table)


def _settings(settings: Mapping[str, Any]) -> str:
    rates = f"{settings['embedding_learning_rate']:g}/{settings['dense_learning_rate']:g}"
    epochs = f"{settings['epochs']} epoch{'s' if settings['epochs'] > 1 else ''}"
    seen = f", seen {settings['min_count']} times" if "min_count" in settings else ""
    return f"D={settings['embedding_dim']}, {settings['optimizer']} {rates}, {epochs}{seen}"


def draw(rows: Rows, reference: Rows, path: Path) -> None:
    """Test AUC against compression: a panel a family, its methods in colour before all the others in grey."""
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    rcParams["svg.hashsalt"] = "pocketrec"  # the same rows give the same file
    ready = lines(rows)
    families = list(dict.fromkeys(m.family for m in cells.EVERY))
    figure = Figure(figsize=(10, 3.3 * -(-len(families) // 3)), layout="constrained")
    panels = figure.subplots(-(-len(families) // 3), 3, sharex=True, sharey=True, squeeze=False).flat
    full = max(c.mean("test_auc") for c in book_crossing.tuned_cells(reference) if c.name.startswith("full tables"))
    for axes, family in zip(panels, families, strict=False):
        _draw_family(axes, family, ready, full)
    for axes in list(panels)[len(families) :]:
        axes.set_visible(False)
    figure.supxlabel("times smaller than the full tables (log scale)", fontsize=10)
    figure.supylabel("test AUC, mean of 3 seeds", fontsize=10)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _draw_family(axes: Any, family: str, ready: Sequence[Line], full: float) -> None:
    from pocketrec.report import COLOURS

    axes.set_title(family, fontsize=10, loc="left", weight="bold")
    axes.axhline(full, color="0.4", linestyle="--", linewidth=1)
    axes.annotate(
        "full tables", (38_000, full), (0, 2), textcoords="offset points", fontsize=8, color="0.3", ha="right"
    )
    for line in ready:
        axes.plot(*_points(line), color="0.87", linewidth=1, zorder=1, marker="." if _is_point(line) else None)
    members = [m for m in cells.EVERY if m.family == family]
    looks = dict(zip(members, zip((*COLOURS, "black"), "osD^v", strict=True), strict=False))
    own = [line for line in ready if line.method in looks]
    for line in own:
        colour, marker = looks[line.method]
        axes.plot(*_points(line), color=colour, marker=marker, markersize=5, zorder=3)
    for line, height in zip(own, _apart([_points(line) for line in own], axes.get_ylim()), strict=True):
        last = _points(line)[0][-1]
        axes.annotate(
            line.method.name, (last, height), (7, 0), textcoords="offset points", fontsize=8, va="center", zorder=4,
            color=looks[line.method][0], bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.5},
        )  # fmt: skip
    axes.set(xscale="log", xlim=(7, 40_000), xticks=COMPRESSIONS, xticklabels=[f"{x}x" for x in COMPRESSIONS])
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)


def _apart(lines_of: Sequence[tuple[list[float], list[float]]], limits: tuple[float, float]) -> list[float]:
    """Heights for labels beside the ends of lines, moved up where they would lie on the one below."""
    heights = [ys[-1] for _, ys in lines_of]
    least = (limits[1] - limits[0]) / 14
    placed: dict[float, float] = {}
    for i in sorted(range(len(heights)), key=heights.__getitem__):
        x = min(COMPRESSIONS, key=lambda c: abs(math.log(lines_of[i][0][-1] / c)))
        heights[i] = placed[x] = max(heights[i], placed.get(x, 0) + least)
    return heights


def _is_point(line: Line) -> bool:
    return sum(cell is not None for cell in line.cells.values()) == 1


def _points(line: Line) -> tuple[list[float], list[float]]:
    found = [cell for cell in line.cells.values() if cell]
    return [cell.mean("compression") for cell in found], [cell.mean("test_auc") for cell in found]


def between_markers(text: str, block: str) -> str:
    """The text with what stands between the markers replaced."""
    told = f"<!-- schemes -->\n{block}\n<!-- /schemes -->"
    return re.sub(r"<!-- schemes -->.*?<!-- /schemes -->", lambda _: told, text, flags=re.DOTALL)


def written() -> tuple[Rows, Rows, Rows]:
    """The rows of runs, of timing, and those of `book_crossing` with the full tables."""
    return read_rows(HERE / "results.csv"), read_rows(HERE / "timing.csv"), read_rows(book_crossing.RESULTS)


def main() -> None:
    """Rewrite both READMEs and the figure."""
    rows, timing, reference = written()
    README.write_text(between_markers(README.read_text(), markdown(rows, timing, reference)))
    SETTINGS.write_text(between_markers(SETTINGS.read_text(), settings_markdown(rows)))
    if lines(rows):
        draw(rows, reference, FIGURE)


if __name__ == "__main__":
    main()
