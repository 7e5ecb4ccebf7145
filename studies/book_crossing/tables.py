"""`results.csv` -> the tables and figure of the README.

    python studies/book_crossing/tables.py            # rewrites README.md between its markers, and auc.svg

A row is the mean over seeds, with the standard deviation of a seed.
"""

from __future__ import annotations

import re
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.append(str(ROOT))

from studies.book_crossing import cells  # noqa: E402
from studies.trials import best_settings, read_rows  # noqa: E402

README, RESULTS, FIGURE = ROOT / "README.md", HERE / "results.csv", HERE / "auc.svg"
Rows = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Cell:
    """The runs of one cell at its chosen settings, over seeds."""

    name: str
    settings: Mapping[str, object]
    runs: Rows

    def mean(self, column: str) -> float:
        """Over seeds."""
        return statistics.fmean(float(run[column]) for run in self.runs)

    def spread(self, column: str) -> float:
        """Standard deviation of a seed."""
        return statistics.stdev(float(run[column]) for run in self.runs) if len(self.runs) > 1 else float("nan")


def tuned_cells(rows: Rows) -> list[Cell]:
    """The tuned cells, each at its best settings."""
    found = []
    for name in cells.TUNED:
        settings = best_settings(rows, name)
        if settings is not None:
            found.append(Cell(name, settings, _runs(rows, name, settings)))
    return [cell for cell in found if len(cell.runs) == len(cells.SEEDS)]


def other_cells(rows: Rows, phase: str) -> list[Cell]:
    """The cells of an untuned phase that ran with every seed, in the order they were run."""
    names = list(dict.fromkeys(row["cell"] for row in rows if row["phase"] == phase))
    found = [Cell(name, {}, [row for row in rows if row["cell"] == name]) for name in names]
    return [cell for cell in found if len(cell.runs) == len(cells.SEEDS)]


def _runs(rows: Rows, cell: str, settings: Mapping[str, object]) -> Rows:
    import json

    told = json.dumps(dict(settings), sort_keys=True)
    return [row for row in rows if row["cell"] == cell and row["settings"] == told]


def markdown(rows: Rows) -> str:
    """Both tables."""
    return f"{_main_table(tuned_cells(rows))}\n\n{_arms_text(rows)}"


def _main_table(chosen: Iterable[Cell]) -> str:
    columns = ("embeddings", "best of 6 trials", "stored", "compression", "of min-count tables", "with id maps")
    lines = [f"| {' | '.join(columns)} | test AUC | steps to best |", "|---|---|---:|---:|---:|---:|---:|---:|"]
    for cell in sorted(chosen, key=lambda c: (-c.mean("stored_bytes"), c.name)):
        lines.append(
            f"| {cell.name} | {_told(cell.settings)} | {_megabytes(cell.mean('stored_bytes'))} "
            f"| {_times(cell, 'compression')} | {_times(cell, 'compression_min_count')} "
            f"| {_times(cell, 'compression_with_id_map')} | {_auc(cell)} | {cell.mean('steps_to_best'):,.0f} |"
        )
    return "\n".join(lines)


def _arms_text(rows: Rows) -> str:
    lines = [
        "| ROBE, same training | memory | id map | compression | with id map | test AUC |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for cell in other_cells(rows, "arms") + other_cells(rows, "equal bytes"):
        lines.append(
            f"| {cell.name} | {_megabytes(cell.mean('stored_bytes'))} | {_megabytes(cell.mean('id_map_bytes'))} "
            f"| {_times(cell, 'compression')} | {_times(cell, 'compression_with_id_map')} | {_auc(cell)} |"
        )
    return "\n".join(lines)


def _times(cell: Cell, column: str) -> str:
    value = cell.mean(column)
    return f"{value:,.0f}x" if value >= 99.5 else f"{value:.3g}x"


def _auc(cell: Cell) -> str:
    return f"{cell.mean('test_auc'):.4f} ± {cell.spread('test_auc'):.4f}"


def _told(settings: Mapping[str, object]) -> str:
    """The settings that trials differ in, in short."""
    rates = f"{settings['optimizer']} {settings['embedding_learning_rate']:g}/{settings['dense_learning_rate']:g}"
    width = f"D={settings['embedding_dim']}"
    chunk = f", Z={settings['chunk_size']}" if "chunk_size" in settings else ""
    return f"{width}{chunk}, {rates}"


def _megabytes(value: float) -> str:
    return f"{value / 1e6:.3g} MB"


def draw(rows: Rows, path: Path) -> None:
    """Test AUC against stored bytes."""
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    from pocketrec.report import COLOURS

    rcParams["svg.hashsalt"] = "pocketrec"  # the same rows give the same file
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for family, colour, marker in zip(("full tables", "ROBE", "hashing trick"), COLOURS, "sod", strict=False):
        own = sorted((c for c in tuned_cells(rows) if c.name.startswith(family)), key=lambda c: c.mean("stored_bytes"))
        if own:
            sizes, aucs = ([c.mean(column) for c in own] for column in ("stored_bytes", "test_auc"))
            spread = [c.spread("test_auc") for c in own]
            axes.errorbar([s / 1e6 for s in sizes], aucs, spread, marker=marker, color=colour, capsize=3, label=family)
    axes.set(xscale="log", xlabel="stored by the embeddings, MB (log scale)", ylabel="test AUC")
    axes.set_title("Book-Crossing, DLRM: mean and standard deviation over 3 seeds", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def with_results(readme: str, rows: Rows) -> str:
    """The README with its results section made from `rows`."""
    block = f"<!-- results -->\n{markdown(rows)}\n<!-- /results -->"
    return re.sub(r"<!-- results -->.*?<!-- /results -->", lambda _: block, readme, flags=re.DOTALL)


def main() -> None:
    """Rewrite the README and the figure."""
    rows = read_rows(RESULTS)
    README.write_text(with_results(README.read_text(), rows))
    draw(rows, FIGURE)


if __name__ == "__main__":
    main()
