"""What a study runs: each way to train once with the first seed, then the best of them with every seed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pocketrec.study.cell import FULL, Cell, cell_of
from pocketrec.study.config import StudyConfig
from pocketrec.study.rows import Row
from pocketrec.study.ways import Way

TUNING, FINAL = "tuning", "final"
HOPELESS = "hopeless"
FIRST_SEED = 0
Key = tuple[Cell, str, str, int]


@dataclass(frozen=True)
class Trial:
    """One row to be. A first final has the run of the tuning trial that was picked: its features are measured."""

    cell: Cell
    phase: str
    way: Way
    seed: int
    settings: Mapping[str, Any]

    @property
    def key(self) -> Key:
        """Tells rows apart."""
        return self.cell, self.phase, self.way.name, self.seed

    @property
    def run(self) -> str:
        """Name of its folder."""
        return f"{self.cell.slug}-{self.way.name}-seed{self.seed}"

    @property
    def measures_features(self) -> bool:
        """Whether what sharing lost is measured on it."""
        return self.phase == FINAL and self.seed == FIRST_SEED

    def as_row(self) -> dict[str, Any]:
        """The columns that it decides."""
        return {
            "scheme": self.cell.scheme,
            "compression": f"{self.cell.compression:g}",
            "phase": self.phase,
            "way": self.way.name,
            "settings": json.dumps(dict(self.settings), sort_keys=True),
            "seed": self.seed,
            "run": self.run,
        }


def key_of(row: Row) -> Key:
    """The key of the trial that made the row."""
    return cell_of(row), row["phase"], row["way"], int(row["seed"])


def wanted(config: StudyConfig, rows: Sequence[Row]) -> list[Trial]:
    """The trials that the rows so far call for, done or not, cell after cell: stopped early, whole cells are done."""
    done = {key_of(row): row for row in rows}
    full = _of_cell(config, FULL, done)
    # What sharing lost is counted from what full tables' features are worth: theirs are measured first.
    waiting = any(trial.key not in done for trial in full if trial.phase == TUNING or trial.measures_features)
    others = [trial for cell in config.cells if cell != FULL for trial in _of_cell(config, cell, done)]
    return full + [trial for trial in others if not (waiting and trial.measures_features)]


def _of_cell(config: StudyConfig, cell: Cell, done: Mapping[Key, Row]) -> list[Trial]:
    tuning = tuning_trials(config, cell)
    picked = pick(tuning, done)
    seeds = range(config.seeds) if picked else ()
    return tuning + [Trial(cell, FINAL, picked.way, seed, picked.settings) for seed in seeds if picked]


def tuning_trials(config: StudyConfig, cell: Cell) -> list[Trial]:
    """One for each way; of ways that the cap on epochs makes equal, the first."""
    trials = [Trial(cell, TUNING, way, FIRST_SEED, config.settings(cell, way)) for way in config.ways]
    return [t for i, t in enumerate(trials) if t.settings not in [other.settings for other in trials[:i]]]


def pick(tuning: Sequence[Trial], done: Mapping[Key, Row]) -> Trial | None:
    """The one with the best validation AUC; None until all have run, or when all have failed."""
    found = [done.get(trial.key) for trial in tuning]
    if None in found:
        return None
    scored = [(score, trial) for trial, row in zip(tuning, found, strict=True) if (score := score_of(row)) is not None]
    return max(scored, key=lambda pair: pair[0])[1] if scored else None


def score_of(row: Row | None) -> float | None:
    """The validation AUC of a run that went its way; None of one that failed or was given up."""
    if row is None or row["error"] or row["stopped"] == HOPELESS:
        return None
    score = float(row["best_validation_auc"])
    return None if math.isnan(score) else score


def leader(config: StudyConfig, cell: Cell, rows: Sequence[Row]) -> Trial | None:
    """The best tuning trial of a cell so far."""
    done = {key_of(row): row for row in rows}
    return pick([trial for trial in tuning_trials(config, cell) if trial.key in done], done)


def expected_total(config: StudyConfig, rows: Sequence[Row]) -> int:
    """Rows of the finished study, as far as the rows so far tell: a cell where all tuning fails has no finals."""
    done = {key_of(row): row for row in rows}
    total = 0
    for cell in config.cells:
        tuning = tuning_trials(config, cell)
        failed = all(trial.key in done for trial in tuning) and pick(tuning, done) is None
        total += len(tuning) + (0 if failed else config.seeds)
    return total
