"""Run many (cell, log, settings, seed), a few at a time, one CSV row each; run again, it does what is missing.

A budget too small for a scheme and a loss that is not a number are results too: such rows have an `error`, no metrics.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketrec.errors import TrainingError
from pocketrec.study.rows import append_rows, read_rows as read_rows
from pocketrec.study.work import end_of

COLUMNS = (
    "date", "commit", "machine", "versions", "phase", "cell", "log", "settings", "seed",
    "best_validation_auc", "test_auc", "test_log_loss", "test_calibration", "steps", "steps_to_best", "seconds",
    "stored_bytes", "full_bytes", "id_map_bytes", "compression", "compression_min_count", "compression_with_id_map",
    "error",
)  # fmt: skip
MEASURED = COLUMNS[9:-1]
WHOLE = "whole"
Key = tuple[str, str, str, int]
Rows = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Trial:
    """One run to make: `settings` are flags of `pocketrec train`, without the seed; `log` says on which rows.

    With `encode=True` full tables are trained, and then encoded at `compression`.
    """

    phase: str
    cell: str
    settings: Mapping[str, Any]
    seed: int
    log: str = WHOLE

    @property
    def key(self) -> Key:
        """What is run: the same settings are never run twice for one log and seed, whatever the phase."""
        return self.cell, self.log, json.dumps(dict(self.settings), sort_keys=True), self.seed


def key_of(row: Mapping[str, str]) -> Key:
    """The key of the trial that made the row."""
    return row["cell"], row["log"], row["settings"], int(row["seed"])


def best_settings(rows: Rows, cell: str) -> dict[str, Any] | None:
    """The tuned settings of a cell with the best validation AUC; None while there are none."""
    own = [row for row in rows if row["cell"] == cell and row["phase"] == "tuning" and not row["error"]]
    if not own:
        return None
    best = max(own, key=lambda row: float(row["best_validation_auc"]))
    settings: dict[str, Any] = json.loads(best["settings"])
    return settings


def run_missing(
    trials: Sequence[Trial], logs: Mapping[str, Path], results: Path, about: Mapping[str, str], jobs: int
) -> None:
    """Run what `results` does not hold yet, `jobs` at a time on one thread each, appending each row as it is done."""
    run_planned(lambda _: trials, logs, results, about, jobs)


def run_planned(
    plan: Callable[[Rows], Iterable[Trial]],
    logs: Mapping[str, Path],
    results: Path,
    about: Mapping[str, str],
    jobs: int,
) -> None:
    """Likewise, of what `plan` says the rows so far call for, the most wanted first; it is asked after every row."""
    running: dict[Any, Trial] = {}
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        while True:
            rows = read_rows(results)
            for trial in _missing(plan(rows), rows, running.values(), jobs - len(running)):
                running[pool.submit(_run, trial, logs[trial.log])] = trial
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                trial = running.pop(future)
                row = {**about, **_told(trial), **future.result()}
                append(results, row)
                _say(row)


def _missing(wanted: Iterable[Trial], rows: Rows, running: Iterable[Trial], count: int) -> list[Trial]:
    """The first `count` that are neither done nor running."""
    known = {key_of(row) for row in rows} | {trial.key for trial in running}
    found: list[Trial] = []
    for trial in wanted:
        if len(found) == count:
            break
        if trial.key not in known:
            known.add(trial.key)
            found.append(trial)
    return found


def _told(trial: Trial) -> dict[str, Any]:
    cell, log, settings, seed = trial.key
    return {"phase": trial.phase, "cell": cell, "log": log, "settings": settings, "seed": seed}


def _say(row: Mapping[str, Any]) -> None:
    result = row.get("error") or f"validation {row['best_validation_auc']}, {row['seconds']} s"
    print(
        f"{row['cell']} ({row['phase']}, seed {row['seed']}) {row['settings']}: {result}", file=sys.stderr, flush=True
    )


def training_flags(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `pocketrec train`. With `encode`, the compression is that of `pocketrec encode`, which runs after it."""
    return {k: v for k, v in settings.items() if not (settings.get("encode") and k in ("encode", "compression"))}


def _run(trial: Trial, data: Path) -> dict[str, Any]:
    from pocketrec.data import open_log
    from pocketrec.runs.flags import config_from
    from pocketrec.sharing.budget import BudgetError

    log = open_log(data, progress=False)
    config = config_from({**training_flags(trial.settings), "seed": trial.seed, "threads": 1})
    with tempfile.TemporaryDirectory() as folder:
        try:
            metrics = _trained(trial.settings, log, config, Path(folder))
        except TrainingError as error:
            return {"error": f"diverged: {_one_line(error.__cause__ or error)}"}
        except BudgetError as error:
            return {"error": f"unreachable: ends near {end_of(error, log, config):.4g}x: {_one_line(error)}"}
    return {name: _short(metrics[name]) for name in MEASURED}


def _trained(settings: Mapping[str, Any], log: Any, config: Any, folder: Path) -> dict[str, Any]:
    from pocketrec.runs import encode_run, train_run

    trained = train_run(log, config, folder / "run", progress=False)
    if not settings.get("encode"):
        return trained
    compression = settings["compression"]
    encoded = encode_run(log, folder / "run", folder / "encoded", compression=compression, progress=False)
    return encoded | {"seconds": trained["seconds"] + encoded["seconds"]}


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def append(path: Path, row: Mapping[str, Any], columns: Sequence[str] = COLUMNS) -> None:
    """Write one more row, in place of one that a kill tore."""
    append_rows(path, [row], columns)
