"""Run many (cell, settings, seed) on one log, a few at a time, one CSV row each; run again, it does what is missing."""

from __future__ import annotations

import csv
import json
import multiprocessing
import sys
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketrec.files import write_text

COLUMNS = (
    "date", "commit", "machine", "versions", "phase", "cell", "settings", "seed",
    "best_validation_auc", "test_auc", "test_log_loss", "test_calibration", "steps", "steps_to_best", "seconds",
    "stored_bytes", "full_bytes", "id_map_bytes", "compression", "compression_min_count", "compression_with_id_map",
)  # fmt: skip
MEASURED = COLUMNS[8:]


@dataclass(frozen=True)
class Trial:
    """One run to make: `settings` are flags of `pocketrec train`, without the seed."""

    phase: str
    cell: str
    settings: Mapping[str, Any]
    seed: int

    @property
    def key(self) -> tuple[str, str, int]:
        """What is run: the same settings are never run twice for one seed, whatever the phase."""
        return self.cell, json.dumps(dict(self.settings), sort_keys=True), self.seed


def read_rows(path: Path) -> list[dict[str, str]]:
    """All rows so far; a last line torn by a kill is left out."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["compression_with_id_map"]]


def best_settings(rows: Iterable[Mapping[str, str]], cell: str) -> dict[str, Any] | None:
    """The tuned settings of a cell with the best validation AUC; None while there are none."""
    own = [row for row in rows if row["cell"] == cell and row["phase"] == "tuning"]
    if not own:
        return None
    best = max(own, key=lambda row: float(row["best_validation_auc"]))
    settings: dict[str, Any] = json.loads(best["settings"])
    return settings


def run_missing(trials: Iterable[Trial], data: Path, results: Path, about: Mapping[str, str], jobs: int) -> None:
    """Run what `results` does not hold yet, `jobs` at a time on one thread each, appending each row as it is done."""
    done = {(row["cell"], row["settings"], int(row["seed"])) for row in read_rows(results)}
    missing = list({t.key: t for t in trials if t.key not in done}.values())
    _drop_torn_line(results)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context) as pool:
        running = {pool.submit(_run, trial.settings, trial.seed, data): trial for trial in missing}
        for number, future in enumerate(as_completed(running), 1):
            trial, metrics = running[future], future.result()
            row = {**about, "phase": trial.phase, "cell": trial.cell, "settings": trial.key[1], "seed": trial.seed}
            _append(results, row | {name: _short(metrics[name]) for name in MEASURED})
            print(
                f"{number}/{len(missing)} {trial.cell} {trial.key[1]} seed {trial.seed}: "
                f"validation {metrics['best_validation_auc']:.4f}, test {metrics['test_auc']:.4f}",
                file=sys.stderr,
                flush=True,
            )


def _run(settings: Mapping[str, Any], seed: int, data: Path) -> dict[str, Any]:
    from pocketrec.cli.train import config_from
    from pocketrec.data import open_log
    from pocketrec.runs import train_run

    config = config_from({**settings, "seed": seed, "threads": 1})
    with tempfile.TemporaryDirectory() as folder:
        return train_run(open_log(data, progress=False), config, Path(folder) / "run", progress=False)


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def _drop_torn_line(path: Path) -> None:
    """What a kill in the middle of a write left."""
    if path.exists():
        text = path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            write_text(path, whole)


def _append(path: Path, row: Mapping[str, Any]) -> None:
    new = not path.exists()
    with open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)
