"""Studies: what they run, what they write, and that a kill costs them nothing."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys

import pytest

from pocketrec.errors import DataError, TrainingError, UsageError
from pocketrec.files import read_json
from pocketrec.study import FULL, Cell, StudyConfig, Way, read_study, run_study
from pocketrec.study.columns import FEATURES, RESULTS, TIMING
from pocketrec.study.rows import append_rows, read_rows

WAYS = (
    Way("adagrad", {"optimizer": "adagrad", "learning_rate": 0.02, "epochs": 1}),
    Way("adam", {"optimizer": "adam", "learning_rate": 0.01, "epochs": 2, "decay": "linear"}),
    Way("asleep", {"optimizer": "sgd", "learning_rate": 1e-9, "epochs": 3}),
)
SAME = ("date", "commit", "seconds", "peak_memory_bytes")
"""Columns that may differ between two studies of the same."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A small log."""
    from pocketrec.data import prepare, synthesize

    folder = tmp_path_factory.mktemp("log")
    synthesize(folder / "log.tsv", rows=2000, distinct_ids=500, progress=False)
    prepare(folder / "log.tsv", folder / "prepared", progress=False)
    return folder / "prepared"


def configured(prepared, out, **changed):
    told = {"schemes": ("robe",), "compressions": (10, 1000), "seeds": 2, "ways": WAYS, "jobs": 2}
    return StudyConfig(**{"data": str(prepared), "out": str(out), "flags": {"batch_size": 64}} | told | changed)


@pytest.fixture(scope="module")
def study(prepared, tmp_path_factory):
    """Two cells that finish, and one that no budget allows."""
    return run_study(configured(prepared, tmp_path_factory.mktemp("study") / "out"), progress=False)


def measured(rows):
    """What must be equal in two studies, whatever the order of the rows."""
    kept = [{name: value for name, value in row.items() if name not in SAME} for row in rows]
    return sorted(kept, key=lambda row: json.dumps(row, sort_keys=True))


def test_a_study_has_a_row_per_run(study):
    """Each way once with the first seed, then the best with every seed; the first final is that tuning run."""
    assert tuple(study.rows[0]) == RESULTS
    for cell in (FULL, Cell("robe", 10)):
        own = [row for row in study.rows if (row["scheme"], float(row["compression"])) == cell]
        tuning, finals = ([row for row in own if row["phase"] == phase] for phase in ("tuning", "final"))
        assert sorted(row["way"] for row in tuning) == ["adagrad", "adam", "asleep"]
        best = max(tuning, key=lambda row: float(row["best_validation_auc"]))
        assert sorted(row["seed"] for row in finals) == ["0", "1"]
        assert {row["way"] for row in finals} == {best["way"]}
        first = next(row for row in finals if row["seed"] == "0")
        assert {name for name in RESULTS if first[name] != best[name]} == {"phase"}
        assert len({row["test_auc"] for row in finals}) == 2
        for row in own:
            assert row["error"] == ""
            assert set(json.loads(row["settings"])) >= {"sharing", "optimizer", "learning_rate", "batch_size"}
            assert 100e6 < float(row["peak_memory_bytes"]) < 4e9
            assert float(row["reached_compression"]) == pytest.approx(cell.compression, rel=0.1)


def test_a_budget_out_of_reach_is_a_row_with_an_error_and_no_finals(study):
    rows = [row for row in study.rows if row["compression"] == "1000"]
    assert [row["phase"] for row in rows] == ["tuning"] * len(WAYS)
    assert all(row["error"].startswith("unreachable: ends near ") and row["test_auc"] == "" for row in rows)
    summary = study.summaries()[-1]
    assert (summary.cell, summary.test_auc, summary.error) == (Cell("robe", 1000), None, rows[0]["error"])


def test_a_way_far_behind_is_given_up(study):
    """After one of its three epochs; those that learn are not."""
    asleep = [row for row in study.rows if row["way"] == "asleep" and not row["error"]]
    assert [(row["steps"], row["stopped"]) for row in asleep] == [("25", "hopeless")] * 2
    assert all(row["stopped"] != "hopeless" for row in study.rows if row["way"] != "asleep")


def test_what_a_run_leaves(study):
    """Its settings, measures and curve, and no weights."""
    for name in {row["run"] for row in study.rows if not row["error"]}:
        folder = study.folder / "runs" / name
        assert {"config.json", "metrics.json", "history.csv"} <= {path.name for path in folder.iterdir()}
        assert not list(folder.glob("*.pt"))
        curve = study.curves[name]
        assert max(curve.auc) == pytest.approx(
            float(next(row["best_validation_auc"] for row in study.rows if row["run"] == name)), abs=1e-5
        )


def test_features_tell_what_sharing_lost(study):
    assert tuple(study.features[0]) == FEATURES
    worth = {(r["scheme"], r["feature"]): float(r["importance"]) for r in study.features}
    assert {scheme for scheme, _ in worth} == {"full", "robe"}
    assert max(value for (scheme, _), value in worth.items() if scheme == "full") > 0.01
    for row in study.features:
        expected = worth["full", row["feature"]] - worth[row["scheme"], row["feature"]]
        assert float(row["lost_auc"]) == pytest.approx(expected, abs=1e-6)


def test_steps_are_timed_beside_full_tables(study):
    (row,) = study.timing
    assert tuple(row) == TIMING
    assert (row["scheme"], row["compression"]) == ("robe", "10")
    assert row["settings"] == next(r["settings"] for r in study.rows if r["scheme"] == "robe" and r["phase"] == "final")
    assert row["batch_size"] == "64"
    assert min(float(row[name]) for name in ("step_ms", "full_ms", "ratio")) > 0


def test_summaries_say_what_the_rows_say(study):
    full, robe, _ = study.summaries()
    auc = {(row["scheme"], row["seed"]): float(row["test_auc"]) for row in study.rows if row["phase"] == "final"}
    assert full.test_auc.mean == pytest.approx((auc["full", "0"] + auc["full", "1"]) / 2)
    assert robe.difference.mean == pytest.approx(
        (auc["robe", "0"] + auc["robe", "1"] - auc["full", "0"] - auc["full", "1"]) / 2
    )
    assert robe.difference.low < robe.difference.mean < robe.difference.high
    assert (full.difference, full.step_ratio) == (None, 1.0)
    assert robe.stored_bytes * 10 <= robe.full_bytes
    reached = robe.iterations["full-0.001"]
    assert reached.level == pytest.approx(full.best_validation_auc.mean - 0.001)
    for seed, steps in reached.each.items():
        curve = study.curves[next(row["run"] for row in robe.finals if row["seed"] == str(seed))]
        before = [a for s, a in zip(curve.steps, curve.auc, strict=True) if steps is None or s < steps]
        assert all(a < reached.level for a in before)


def test_the_same_command_does_nothing_more(study, prepared, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(study.folder, out)
    before = {path: path.read_bytes() for path in out.glob("*.csv")}
    again = run_study(configured(prepared, out, jobs=1, targets=("0.6",)), progress=False)
    assert {path: path.read_bytes() for path in out.glob("*.csv")} == before
    assert list(again.summaries()[0].iterations) == ["0.6"], "targets may change: they are counted when read"


def test_another_study_is_refused_and_says_what_differs(study, prepared, tmp_path):
    before = (study.folder / "study.toml").read_text()
    other = configured(prepared, study.folder, seeds=3, flags={"batch_size": 128})
    with pytest.raises(UsageError, match=r"another study: flags.batch_size: was 64, now 128; seeds: was 2, now 3"):
        run_study(other, progress=False)
    assert (study.folder / "study.toml").read_text() == before
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="something that is not a study"):
        run_study(configured(prepared, tmp_path), progress=False)


def test_two_studies_do_not_write_into_one_folder(study, prepared):
    from pocketrec.data.lock import lock_folder

    with lock_folder(study.folder), pytest.raises(DataError, match="another study is writing here"):
        run_study(configured(prepared, study.folder), progress=False)


def test_a_torn_last_line_is_written_again(study, prepared, tmp_path, capsys):
    """Also that of a run whose row was never written: its process had finished."""
    out = tmp_path / "out"
    shutil.copytree(study.folder, out)
    text = (out / "results.csv").read_text()
    (out / "results.csv").write_text(text[:-30])
    assert len(read_study(out).rows) == len(study.rows) - 1
    with_torn = run_study(configured(prepared, out))
    assert measured(with_torn.rows) == measured(study.rows)
    assert "dropped a last line that a kill had torn" in capsys.readouterr().err


def test_an_edited_results_file_is_told_with_its_line(study, tmp_path):
    lines = (study.folder / "results.csv").read_text().splitlines()
    path = tmp_path / "results.csv"
    path.write_text("\n".join([*lines[:2], lines[2].partition('"')[0]]) + "\n")
    with pytest.raises(DataError, match=r"results.csv, line 3: no "):
        read_study(tmp_path)
    rows = read_rows(study.folder / "results.csv")
    path.unlink()
    append_rows(path, [rows[0], rows[1] | {"seconds": "long"}], RESULTS)
    with pytest.raises(DataError, match=r"line 3: seconds must be a number, got 'long'"):
        read_study(tmp_path)
    with pytest.raises(DataError, match="other columns"):
        append_rows(path, [{"a": 1}], ["a"])
    with pytest.raises(DataError, match="not a study folder"):
        read_study(tmp_path / "nowhere")


START = "import sys; from pocketrec.cli import main; sys.exit(main(sys.argv[1:]))"


def started(study, prepared):
    """The study of `study.toml` in a process of its own."""
    command = [sys.executable, "-c", START, "study", "--data", str(prepared), "--out", str(study)]
    return subprocess.Popen([*command, "--config", str(study / "study.toml")], stderr=subprocess.PIPE, text=True)


def test_a_killed_study_loses_no_row_and_repeats_none(study, prepared, tmp_path):
    """Killed at random moments, the first time as `kill` does, it ends with the rows of an undisturbed one."""
    out, moments = tmp_path / "out", random.Random(5)
    out.mkdir()
    shutil.copy(study.folder / "study.toml", out)
    seen = []
    for round_number, rows_first in enumerate((1, 3, 6)):
        process = started(out, prepared)
        while process.poll() is None and len(read_rows(out / "results.csv")) < rows_first:
            _wait(process, 0.05)
        _wait(process, moments.uniform(0, 0.6))
        process.send_signal(signal.SIGTERM if round_number == 0 else signal.SIGKILL)
        process.communicate()
        assert process.returncode in (143, -signal.SIGKILL)
        rows = read_rows(out / "results.csv")
        assert rows[: len(seen)] == seen
        seen = rows
    process = started(out, prepared)
    process.communicate()
    assert process.returncode == 0
    finished = read_study(out)
    assert measured(finished.rows) == measured(study.rows)
    assert sorted(map(str, finished.features)) == sorted(map(str, study.features))
    assert len(finished.timing) == len(study.timing)
    assert not list(out.glob("runs/*/*.pt"))


def _wait(process, seconds):
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def die(task):
    """Instead of `work`: one run is killed, the others are done."""
    from pocketrec.study.work import work

    if task.folder.name.startswith("robe") and task.flags["optimizer"] == "adam":
        os.kill(os.getpid(), signal.SIGKILL)
    work(task)


def _but_the_hopeless(rows):
    return [row for row in rows if row["way"] != "asleep"]


def test_a_run_whose_process_dies_is_told_at_the_end_and_tried_again(study, prepared, tmp_path, monkeypatch):
    config = configured(prepared, tmp_path / "out", compressions=(10,), seeds=1)
    with monkeypatch.context() as patched:
        patched.setattr("pocketrec.study.quality.work", die)
        with pytest.raises(TrainingError, match=r"robe-10x-adam-seed0: killed \(SIGKILL\), probably .* memory"):
            run_study(config, progress=False)
    assert sorted(row["run"] for row in read_study(config.out).rows if row["scheme"] == "robe") == [
        "robe-10x-adagrad-seed0",
        "robe-10x-asleep-seed0",
    ]
    finished = run_study(config, progress=False)
    expected = [r for r in study.rows if r["compression"] != "1000" and (r["phase"], r["seed"]) != ("final", "1")]
    # When a hopeless run is given up depends on who had ended by then, and here one had died.
    assert measured(_but_the_hopeless(finished.rows)) == measured(_but_the_hopeless(expected))


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({"compressions": (1e9,)}, UsageError, "robe 1e[+]09x, adagrad: compression: 1e[+]09 leaves not one slot"),
        ({"flags_of": {"full": {"chunk_size": 4}}}, UsageError, "full, adagrad: --chunk-size means nothing to sharing"),
        ({"flags": {"without": ["cat_99"]}}, UsageError, "no feature 'cat_99' to leave out"),
        ({"ways": (Way("a", {"decay": "steep"}),)}, UsageError, "full, a: decay: unknown name 'steep'"),
        ({"data": "nowhere"}, DataError, "nowhere: no such folder"),
    ],
)
def test_what_would_stop_every_run_is_told_before_the_first(prepared, tmp_path, given, error, told):
    with pytest.raises(error, match=told):
        run_study(configured(prepared, tmp_path / "out", **given), progress=False)
    assert not (tmp_path / "out").exists()


def test_a_log_without_test_rows_is_refused(prepared, tmp_path):
    from pocketrec.data import prepare

    prepare(prepared.parent / "log.tsv", tmp_path / "prepared", split="8/2/0", progress=False)
    with pytest.raises(DataError, match="the test split is empty, and a study needs it"):
        run_study(configured(tmp_path / "prepared", tmp_path / "out"), progress=False)


@pytest.fixture
def alone():
    """`work` in this process sets one thread."""
    import torch

    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_a_run_is_given_up_or_diverges_or_is_measured_again(prepared, tmp_path, alone):
    from pocketrec.study.hopeless import Rival
    from pocketrec.study.work import Task, forget_weights, read_features, read_outcome, work

    flags = {"sharing": "full", "optimizer": "adam", "learning_rate": 0.001, "epochs": 3, "batch_size": 512, "seed": 0}
    for name, changed, rival in (("behind", {}, Rival((0.1,), (0.99,))), ("wild", {"learning_rate": 1e30}, None)):
        work(Task(str(prepared), tmp_path / name, flags | changed, False, rival))
    behind, wild = (read_outcome(tmp_path / name) for name in ("behind", "wild"))
    assert (behind["stopped"], behind["error"]) == ("hopeless", "")
    assert behind["steps"] * 3 == 12, "after one of three epochs"
    assert wild["error"].startswith("diverged: ")
    measured_twice = []
    for _ in range(2):
        work(Task(str(prepared), tmp_path / "run", flags, True, None))
        measured_twice.append(read_features(tmp_path / "run")["importance"])
        forget_weights(tmp_path / "run")
        (tmp_path / "run" / "features.json").unlink()
    assert measured_twice[0] == measured_twice[1] != {}, "weights that are gone are trained again"


def test_only_the_features_a_model_reads_are_worth_something(prepared):
    """A model of one feature: shuffling it costs AUC, shuffling any other nothing at all."""
    import torch

    from pocketrec.data import open_log
    from pocketrec.runs import RunConfig, TrainedRun
    from pocketrec.runs.build import Shape
    from pocketrec.study.features import importances

    log = open_log(prepared, progress=False)
    ids = log.vocabulary()
    train = [next(iter(log.batches(split, ids, 2000))) for split in ("train", "validation")]
    rates = {}
    for _, rows, labels in train:
        for row, label in zip(rows[:, 13].tolist(), labels.tolist(), strict=True):
            rates.setdefault(row, []).append(label)

    class OneFeature(torch.nn.Module):
        def forward(self, dense, rows):
            return torch.tensor([sum(rates[row]) / len(rates[row]) for row in rows[:, 13].tolist()])

    config = RunConfig(sharing="full")
    shape = Shape.of(log.manifest, config)
    assert shape.features[13] == "cat_13"
    worth = importances(TrainedRun(prepared, config, shape, ids, OneFeature()), log)
    assert worth.pop("cat_13") > 0.02
    assert set(worth.values()) == {0.0}


def test_a_caller_can_stop_a_run(prepared, tmp_path):
    from pocketrec.data import open_log
    from pocketrec.runs import train_run
    from pocketrec.runs.flags import config_from

    seen = []
    config = config_from({"sharing": "full", "epochs": 3, "batch_size": 512, "patience": 9})
    log = open_log(prepared, progress=False)
    told = train_run(
        log, config, tmp_path / "run", progress=False, should_stop=lambda rows: seen.append(len(rows)) or len(rows) == 2
    )
    assert (told["steps"], told["stopped_by_caller"], told["stopped_early"]) == (2, True, False)
    assert seen == [1, 2]


def test_the_command_shows_the_cells_and_what_is_next(study, prepared, tmp_path, capsys):
    from pocketrec.cli import main

    out = tmp_path / "out"
    shutil.copytree(study.folder, out)
    assert main(["study", "--out", str(out)]) == 0, "a folder that is a study needs no more"
    shown = capsys.readouterr().out
    robe = study.summaries()[1]
    assert f"{robe.test_auc.mean:.4f}" in next(line for line in shown.splitlines() if line.startswith("robe 10x"))
    assert "robe 1000x: unreachable" in shown
    assert f"Next: pocketrec report {out}" in shown
    with pytest.raises(SystemExit, match="2"):
        main(["study", "--out", str(out), "--compressions", "10,x"])
    assert "invalid comma-separated list value: '10,x'" in capsys.readouterr().err


def test_overhead_is_told(study):
    told = read_json(study.folder / "study.json")
    seconds = told["seconds"]
    worked = sum(seconds[name] for name in ("training", "validation", "test", "features"))
    assert 0 < seconds["training"] < worked < seconds["slots"]
    assert told["overhead"] == pytest.approx(1 - worked / seconds["slots"], abs=1e-3)
    assert seconds["wall"] >= seconds["runs"] > 0
    assert seconds["timing"] > 0
