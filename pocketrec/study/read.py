"""A study folder, read: at any moment, finished or not, while it is being written too."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pocketrec.errors import DataError
from pocketrec.study.cell import FULL, Cell, cell_of
from pocketrec.study.columns import (
    FEATURES,
    FEATURES_FILE,
    NUMBERS,
    RESULTS,
    RESULTS_FILE,
    RUNS,
    SETTINGS_FILE,
    TIMING,
    TIMING_FILE,
)
from pocketrec.study.curves import Curve, read_curve
from pocketrec.study.rows import Row, read_table
from pocketrec.study.summary import Summary, summarize
from pocketrec.study.targets import Target, target

DEFAULT_TARGETS = ("full-0.001",)


@dataclass(frozen=True)
class Study:
    """What a folder holds. Values of rows are text, as in the files; the columns are described in `columns.py`."""

    folder: Path
    settings: Mapping[str, Any]
    """`study.toml`; empty where there is none."""
    rows: Sequence[Row]
    """`results.csv`."""
    timing: Sequence[Row]
    """`timing.csv`."""
    features: Sequence[Row]
    """`features.csv`."""

    @property
    def targets(self) -> list[Target]:
        """The quality targets asked for."""
        return [target(str(text)) for text in self.settings.get("targets", DEFAULT_TARGETS)]

    @property
    def cells(self) -> list[Cell]:
        """All that have a row: full tables first, then by scheme and compression in the order of the rows."""
        seen = dict.fromkeys(cell_of(row) for row in self.rows)
        schemes = list(dict.fromkeys(cell.scheme for cell in seen))
        return sorted(seen, key=lambda cell: (cell != FULL, schemes.index(cell.scheme), cell.compression))

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """The learning curve of every row that has one, by its `run`."""
        names = dict.fromkeys(row["run"] for row in self.rows if row["run"])
        found = {name: read_curve(self.folder / RUNS / name) for name in names}
        return {name: curve for name, curve in found.items() if curve is not None}

    def summaries(self) -> list[Summary]:
        """One for each cell."""
        return summarize(self.cells, self.rows, self.timing, self.curves, self.targets)


def read_study(folder: str | os.PathLike[str]) -> Study:
    """The study in `folder`. Raises DataError where there is none, or a file is damaged (a torn last line is not)."""
    folder = Path(folder)
    if not (folder / RESULTS_FILE).exists():
        if (folder / SETTINGS_FILE).exists():
            raise DataError(f"{folder}: a study without a finished run yet: wait, or go on with pocketrec study --out")
        raise DataError(f"{folder}: no {RESULTS_FILE}: not a study folder: write one with pocketrec study --out")
    return Study(
        folder,
        _settings(folder / SETTINGS_FILE),
        read_table(folder / RESULTS_FILE, RESULTS, NUMBERS[RESULTS]),
        read_table(folder / TIMING_FILE, TIMING, NUMBERS[TIMING]),
        read_table(folder / FEATURES_FILE, FEATURES, NUMBERS[FEATURES]),
    )


def _settings(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: damaged ({error}): restore the file") from None
