"""The studies: their rows give the README's tables, and their machinery resumes."""

from __future__ import annotations

import json
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
ABOUT = {"date": "today", "commit": "c", "machine": "m", "versions": "v"}


@pytest.fixture(autouse=True)
def studies(monkeypatch):
    """Importable, as when their scripts run."""
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A small log."""
    from pocketrec.data import prepare, synthesize

    folder = tmp_path_factory.mktemp("log")
    synthesize(folder / "log.tsv", rows=2000, distinct_ids=500, progress=False)
    prepare(folder / "log.tsv", folder / "prepared", progress=False)
    return folder / "prepared"


class _AtOnce(Executor):
    """Runs here, what processes of their own would run: they take seconds to start."""

    def __init__(self, *_):
        pass

    def submit(self, call, *args):
        future = Future()
        try:
            future.set_result(call(*args))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr("studies.trials.ProcessPoolExecutor", _AtOnce)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_the_readme_shows_what_the_rows_say():
    """Catches a results table edited by hand, or rows committed without it."""
    from studies.book_crossing import tables

    readme = tables.README.read_text()
    assert tables.with_results(readme, tables.read_rows(tables.RESULTS)) == readme


def test_the_table_of_schemes_shows_what_the_rows_say():
    """The same of the other study, and of the settings it chose."""
    from studies.schemes import tables

    rows, timing, reference = tables.written()
    readme, settings = tables.README.read_text(), tables.SETTINGS.read_text()
    assert tables.between_markers(readme, tables.markdown(rows, timing, reference)) == readme
    assert tables.between_markers(settings, tables.settings_markdown(rows)) == settings


def test_cells_are_tuned_with_equal_effort():
    from studies.book_crossing import cells
    from studies.schemes import cells as schemes

    assert {len(trials) for trials in cells.TUNED.values()} == {6}
    assert len({len(_finish(m, 100, lambda trial: (0.8, ""))) - len(m.widths) for m in schemes.EVERY}) == 1


def test_every_scheme_is_in_the_table():
    """Catches a scheme added to the library and not to the study."""
    from pocketrec.sharing import SCHEMES
    from studies.schemes import cells

    assert {method.settings["sharing"] for method in cells.EVERY} == set(SCHEMES)


def test_missing_trials_are_run_once_and_torn_rows_again(prepared, tmp_path):
    from studies.trials import WHOLE, Trial, read_rows, run_missing

    settings = {"sharing": "robe", "compression": 10, "batch_size": 512, "epochs": 1}
    trials = [Trial("tuning", "cell", settings, seed) for seed in (0, 1)]
    results = tmp_path / "results.csv"
    run_missing(trials[:1], {WHOLE: prepared}, results, ABOUT, jobs=1)
    first = results.read_text()
    results.write_text(first + "today,c,m,v,tuning,ce")
    assert len(read_rows(results)) == 1
    run_missing(trials, {WHOLE: prepared}, results, ABOUT, jobs=1)
    rows = read_rows(results)
    assert [row["seed"] for row in rows] == ["0", "1"]
    assert results.read_text().startswith(first)
    assert len(results.read_text().splitlines()) == 3


def test_a_cell_out_of_reach_is_marked_once_and_a_mistake_is_not_taken_for_one(prepared, tmp_path, at_once):
    from pocketrec.errors import UsageError
    from studies.trials import WHOLE, Trial, read_rows, run_missing

    results = tmp_path / "results.csv"
    far = {"sharing": "qr", "compression": 100}
    for _ in range(2):
        run_missing([Trial("first round", "QR, 100x", far, 0)], {WHOLE: prepared}, results, ABOUT, jobs=1)
    (row,) = read_rows(results)
    assert row["error"].startswith("unreachable: ends near ")
    assert row["test_auc"] == ""
    end = float(row["error"].split("near ")[1].split("x")[0])
    assert 2 < end < 100
    near = far | {"compression": end - 0.1, "epochs": 1}
    run_missing([Trial("first round", "QR", near, 0)], {WHOLE: prepared}, results, ABOUT, jobs=1)
    assert read_rows(results)[1]["error"] == ""
    wrong = {"sharing": "qr", "ids": "raw"}
    with pytest.raises(UsageError, match="num_embeddings"):
        run_missing([Trial("first round", "QR", wrong, 0)], {WHOLE: prepared}, results, ABOUT, jobs=1)


def test_full_tables_are_trained_and_then_encoded(prepared, tmp_path, at_once):
    """The bytes of the codes are what counts, and the AUC is theirs."""
    from studies.trials import WHOLE, Trial, read_rows, run_missing

    full = {"sharing": "full", "ids": "ranked", "epochs": 1}
    cells = {"full": full, "codes": full | {"encode": True, "compression": 10}}
    trials = [Trial("first round", cell, settings, 0) for cell, settings in cells.items()]
    run_missing(trials, {WHOLE: prepared}, tmp_path / "results.csv", ABOUT, jobs=2)
    rows = {row["cell"]: row for row in read_rows(tmp_path / "results.csv")}  # in the order they finished
    kept, encoded = rows["full"], rows["codes"]
    assert (kept["error"], encoded["error"]) == ("", "")
    assert float(kept["compression"]) < 10 <= float(encoded["compression"])
    assert kept["test_auc"] != encoded["test_auc"] != ""
    assert encoded["steps"] == kept["steps"]


def test_steps_are_timed_once(prepared, tmp_path, monkeypatch):
    """A row for each method that has finished; again, none."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from studies.schemes import cells, step_time
    from studies.trials import read_rows

    told = {"first": {"sharing": "robe", "compression": 10}, "second": {"sharing": "qr", "compression": 2}}
    monkeypatch.setattr(step_time, "chosen", lambda rows: [(cell, json.dumps(s)) for cell, s in told.items()])
    threads = torch.get_num_threads()
    for _ in range(2):
        step_time.measure_missing([], prepared, tmp_path / "timing.csv", ABOUT, rounds=2)
    torch.set_num_threads(threads)
    rows = read_rows(tmp_path / "timing.csv")
    assert [row["cell"] for row in rows] == list(told)
    assert all(float(row["ratio"]) > 0 for row in rows)
    assert step_time.FULL["embedding_dim"] == cells.FULL_WIDTH


class _Log:
    """Four values seen 1, 2, 4 and 8 times in one column, times a thousand."""

    seen = 4000

    def rows(self, min_count):
        return 1 + 1000 * sum(count >= min_count for count in (1, 2, 4, 8))


LOGS = {"quarter": _Log(), "whole": _Log()}


def _row(trial, auc, error=""):
    cell, log, settings, seed = trial.key
    told = {"phase": trial.phase, "cell": cell, "log": log, "settings": settings, "seed": str(seed)}
    return told | {"best_validation_auc": "" if error else str(auc), "error": error}


def _finish(method, compression, result):
    """The rows of a cell when each trial ends with `result(trial)`, and the trials in the order they were asked for."""
    from studies.schemes.cells import cell_trials
    from studies.trials import key_of

    rows = []
    while True:
        done = {key_of(row): row for row in rows}
        missing = [t for t in cell_trials(method, compression, done, LOGS) if t.key not in done]
        if not missing:
            return rows
        rows.append(_row(missing[0], *result(missing[0])))


def test_a_cell_goes_from_a_part_to_all_rows_to_all_seeds():
    """The best two of the part, the better of these with every seed: by validation, and whatever fails drops out."""
    from studies.schemes.cells import SCHEMES
    from studies.schemes.finished import finished

    method = SCHEMES[1]
    scores = {}

    def result(trial):
        rank = scores.setdefault(trial.key[2], len(scores))
        if trial.log == "quarter":
            return (0.0, "diverged: the loss is not a number") if rank == 3 else (0.7 + rank / 100, "")
        return (0.0, "diverged: likewise") if rank == 4 else (0.8 - rank / 100, "")

    rows = _finish(method, 100, result)
    ran = [(row["log"], scores[row["settings"]], int(row["seed"])) for row in rows]
    assert ran[:5] == [("quarter", rank, 0) for rank in range(5)]
    assert sorted(ran[5:8]) == [("whole", rank, 0) for rank in (1, 2, 4)]
    assert ran[8:] == [("whole", 1, 1), ("whole", 1, 2)]
    widths, ways = ([json.loads(row["settings"])[key] for row in rows[:5]] for key in ("embedding_dim", "epochs"))
    assert widths == [16] * 4 + [64], "one more D, with the best way to train"
    assert ways[4] == ways[2]
    cell = finished(rows, method, 100)
    assert cell is not None
    assert [run["seed"] for run in cell.runs] == ["0", "1", "2"]


def test_what_the_part_cannot_hold_is_asked_of_the_whole():
    """An unreachable cell ends with rows that say where; one that only the whole log reaches is tuned there."""
    from studies.schemes.cells import SCHEMES
    from studies.schemes.finished import end, finished

    method = SCHEMES[1]
    rows = _finish(method, 100, lambda trial: (0, f"unreachable: ends near {50 if trial.log == 'whole' else 80}x: so"))
    assert [row["log"] for row in rows] == ["quarter"] * 4 + ["whole"] * 4
    assert end(rows, method, 100) == 50
    assert end(rows, method, 10) is None
    rows = _finish(method, 100, lambda trial: (0.8, "unreachable: ends near 80x: so" if trial.log == "quarter" else ""))
    assert len(rows) == 4 + 5 + 2
    assert finished(rows, method, 100)
    assert end(rows, method, 100) is None


def test_frequent_ids_only_keep_to_the_budget():
    from studies.schemes.cells import SCHEMES, fitted

    (method,) = (m for m in SCHEMES if m.settings["sharing"] == "full")
    for compression in (10, 100):
        for width in method.widths:
            settings = fitted(method.candidate(compression, width, {}), _Log())
            rows, room = _Log().rows(settings["min_count"]), 4000 * 16 / compression / settings["embedding_dim"]
            assert rows <= room < _Log().rows(settings["min_count"] - 1)
            assert "compression" not in settings


def test_a_study_of_a_scheme_runs_and_resumes(prepared, tmp_path, monkeypatch, at_once):
    """From the first round to a line of the table, on a real if tiny log; again, it runs nothing."""
    from studies.schemes import cells, tables
    from studies.trials import WHOLE, read_rows, run_planned

    monkeypatch.setattr(cells, "TRAINING", tuple({**t, "epochs": 1} for t in cells.TRAINING[:2]))
    monkeypatch.setattr(cells, "COMPRESSIONS", (10,))
    method = replace(cells.SCHEMES[1], widths=(4,))
    results = tmp_path / "results.csv"
    for _ in range(2):
        logs = {WHOLE: prepared, cells.PART: prepared}
        run_planned(lambda rows: cells.plan(rows, LOGS, [method]), logs, results, ABOUT, jobs=2)
    rows = read_rows(results)
    assert sorted(row["phase"] for row in rows) == ["final"] * 2 + ["first round"] * 2 + ["second round"] * 2
    (line,) = tables.lines(rows)
    assert line.cells[10].mean("compression") >= 10
    tables.draw(rows, tables.written()[2], tmp_path / "auc.svg")
    assert (tmp_path / "auc.svg").stat().st_size
