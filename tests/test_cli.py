"""The command line as a user meets it: what it writes, what it says, how it ends."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pocketrec.cli import main
from pocketrec.cli.missing import what_to_install
from pocketrec.data import prepare, synthesize

CRITEO = Path(__file__).parent.parent.parent / "shared" / "data" / "criteo_10k.tsv"
NAMES_IN_METRICS = {
    "test_auc",
    "test_log_loss",
    "best_validation_auc",
    "steps",
    "steps_to_best",
    "seconds",
    "samples_per_second",
    "stored_bytes",
    "full_bytes",
    "id_map_bytes",
    "compression",
    "compression_min_count",
    "compression_with_id_map",
    "seed",
    "versions",
}
QUICK = ["--batch-size", "256", "--epochs", "1", "--threads", "1"]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    synthesize(folder / "clicks.tsv", rows=5000, distinct_ids=2000, progress=False)
    prepare(folder / "clicks.tsv", folder / "prepared", progress=False)
    return folder / "prepared"


@pytest.fixture(scope="session")
def trained(prepared, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "robe"
    assert main(["train", "--data", str(prepared), "--compression", "10", "--out", str(out), *QUICK]) == 0
    return out


def test_synth_prepare_train_evaluate_info(tmp_path, capsys):
    """The whole way of a log, and every promised file."""
    log, data, out = (str(tmp_path / name) for name in ("clicks.tsv", "prepared", "run"))
    assert main(["synth", "--rows", "4000", "--distinct-ids", "1500", "--out", log]) == 0
    assert "best possible AUC" in capsys.readouterr().out
    assert main(["prepare", log, "--out", data]) == 0
    assert "train rows" in capsys.readouterr().out
    assert main(["train", "--data", data, "--sharing", "full", "--out", out, *QUICK]) == 0
    told = capsys.readouterr().out
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics.keys() >= NAMES_IN_METRICS
    assert f"{metrics['test_auc']:.4f}" in told
    assert {p.name for p in (tmp_path / "run").iterdir()} >= {"config.json", "metrics.json", "history.csv", "model.pt"}
    with open(tmp_path / "run" / "history.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 4, "four evaluations an epoch"

    assert main(["evaluate", out, "--data", data, "--split", "test", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["auc"] == pytest.approx(metrics["test_auc"], abs=1e-9)
    assert main(["info", out]) == 0
    assert "sharing" in capsys.readouterr().out
    assert main(["info", data]) == 0
    assert "distinct in training" in capsys.readouterr().out


@pytest.mark.parametrize("ids", ["vocabulary", "raw", "filtered"])
@pytest.mark.parametrize("sharing", ["robe", "hashing-trick"])
def test_every_scheme_trains_on_every_kind_of_ids(prepared, tmp_path, sharing, ids):
    out = tmp_path / "run"
    command = ["train", "--data", str(prepared), "--sharing", sharing, "--compression", "20", "--ids", ids]
    assert main([*command, "--embedding-dim", "24", "--out", str(out), *QUICK]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert 19.9 < metrics["compression"] < 21, "a wider virtual D never changes the budget"
    assert (metrics["id_map_bytes"] == 0) == (ids == "raw")
    assert metrics["compression_with_id_map"] != metrics["compression"]


@pytest.mark.parametrize("library", ["fastapi", "prometheus_client"])
def test_a_library_of_an_extra_that_is_missing(library, monkeypatch, capsys):
    """Not a traceback: the one line that installs it."""
    monkeypatch.setitem(sys.modules, library, None)
    for name in [name for name in sys.modules if name.startswith("pocketrec.serving")]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["serve", "x.pocket"]) == 2
    said = f"serve needs {library.replace('_', '-')}, which is not installed: pip install 'pocketrec[serve]'"
    _one_line(capsys.readouterr().err, re.escape(said))


def test_a_library_that_only_some_systems_need():
    assert (
        what_to_install("uvloop", "serve")
        == "serve needs uvloop, which is not installed: pip install 'pocketrec[serve]'"
    )
    assert what_to_install("no_such_library", "serve") is None


def test_help_names_every_scheme_and_ranker(capsys):
    """The words are written out, so that --help need not import torch."""
    from pocketrec.cli import train
    from pocketrec.models import MODELS
    from pocketrec.sharing import SCHEMES

    assert train.SHARINGS.split(", ") == list(SCHEMES)
    assert train.RANKERS.split(", ") == list(MODELS)
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    shown = " ".join(capsys.readouterr().out.split()).replace("- ", "-")
    assert f"(default robe): {train.SHARINGS}" in shown
    assert f"(default dlrm): {train.RANKERS}" in shown


@pytest.mark.parametrize(
    "flags",
    [
        ["--sharing", "qr", "--embedding-dim", "64"],
        ["--sharing", "qr", "--model", "deepfm"],
        ["--sharing", "hot-cold", "--chunk-size", "4"],
    ],
)
def test_the_budget_that_a_refusal_names_works(prepared, tmp_path, capsys, flags):
    """Where D is not the preset's, or linear weights take a part, too."""
    command = ["train", "--data", str(prepared), *flags, *QUICK]
    assert main([*command, "--out", str(tmp_path / "no"), "--compression", "5000"]) == 2
    slots, reach = re.search(r"takes at least (\d+).*at most ([\d.]+)", capsys.readouterr().err).groups()
    assert main([*command, "--out", str(tmp_path / "slots"), "--memory-size", slots]) == 0
    assert main([*command, "--out", str(tmp_path / "times"), "--compression", reach]) == 0


def test_any_scheme_ranker_and_precision_by_its_word(prepared, tmp_path):
    """Options of a scheme, linear weights within the budget, an int8 memory: all told on the command line."""
    run = tmp_path / "run"
    told = ["--sharing", "qr", "--with", "operation=add", "--model", "deepfm", "--precision", "int8"]
    assert main(["train", "--data", str(prepared), "--out", str(run), *told, "--compression", "4", *QUICK]) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["compression"] >= 4
    assert main(["evaluate", str(run), "--data", str(prepared)]) == 0


def test_features_can_be_left_out(prepared, tmp_path):
    """Their tables still count: a model without them is compressed, not another problem."""
    told = ["--sharing", "full", "--without", "cat_0,cat_1", *QUICK]
    for name, flags in (("all", told[:2] + QUICK), ("fewer", told)):
        assert main(["train", "--data", str(prepared), "--out", str(tmp_path / name), *flags]) == 0
    whole, fewer = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("all", "fewer"))
    assert fewer["full_bytes"] == whole["full_bytes"]
    assert fewer["stored_bytes"] < whole["stored_bytes"]
    assert main(["evaluate", str(tmp_path / "fewer"), "--data", str(prepared)]) == 0


def test_full_tables_are_encoded_and_open_as_any_other_run(prepared, tmp_path, capsys):
    """Without training again; the budget is kept, AUC hardly falls, and a later open measures what was told."""
    full, small = str(tmp_path / "full"), tmp_path / "small"
    train = ["train", "--data", str(prepared), "--sharing", "full", "--ids", "ranked", "--embedding-dim", "32"]
    assert main([*train, "--out", full, *QUICK]) == 0
    assert main(["encode", full, "--data", str(prepared), "--compression", "20", "--out", str(small)]) == 0
    told = capsys.readouterr()
    assert "hint" not in told.err
    metrics = json.loads((small / "metrics.json").read_text())
    assert metrics.keys() >= NAMES_IN_METRICS
    assert 20 <= metrics["compression"] < 20.5
    assert abs(metrics["test_auc"] - metrics["full_test_auc"]) < 0.02
    assert metrics["id_map_bytes"] == json.loads((tmp_path / "full" / "metrics.json").read_text())["id_map_bytes"]
    assert main(["evaluate", str(small), "--data", str(prepared), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["auc"] == pytest.approx(metrics["test_auc"], abs=1e-6)
    assert main(["info", str(small)]) == 0
    assert "transform-coding" in capsys.readouterr().out
    assert main(["encode", full, "--data", str(prepared), "--compression", "5", "--out", str(small)]) == 2
    _one_line(capsys.readouterr().err, "already holds a run: choose another --out")


def test_rows_of_a_plain_vocabulary_are_encoded_alike(prepared, tmp_path, capsys):
    """It works, linear weights of a ranker too, and says what would be better."""
    full, small = str(tmp_path / "full"), str(tmp_path / "small")
    assert (
        main(["train", "--data", str(prepared), "--sharing", "full", "--model", "deepfm", "--out", full, *QUICK]) == 0
    )
    encode = ["encode", full, "--data", str(prepared), "--compression", "10", "--out", small]
    assert main([*encode, "--with", "max-bits=3"]) == 0
    assert "Trained with --ids ranked" in capsys.readouterr().err
    assert json.loads((tmp_path / "small" / "metrics.json").read_text())["compression"] >= 10
    assert json.loads((tmp_path / "small" / "config.json").read_text())["run"]["options"] == {"max_bits": 3}


def test_what_cannot_be_encoded_is_said(prepared, trained, tmp_path, capsys):
    out = str(tmp_path / "out")
    cases = {
        ("encode", str(trained), "--compression", "10"): "sharing 'robe': only a run with 'full'",
        ("encode", str(trained), "--compression", "10", "--with", "bits=3"): "only a run with 'full'",
        ("train", "--sharing", "transform-coding"): "cannot be trained: train with sharing 'full'",
    }
    for command, message in cases.items():
        assert main([*command, "--data", str(prepared), "--out", out]) == 2
        _one_line(capsys.readouterr().err, message)
        assert not (tmp_path / "out").exists()


def test_memory_size_is_a_budget_in_slots(prepared, tmp_path):
    out = tmp_path / "run"
    assert main(["train", "--data", str(prepared), "--memory-size", "1234", "--out", str(out), *QUICK]) == 0
    assert json.loads((out / "metrics.json").read_text())["stored_bytes"] == 4 * 1234


def test_a_killed_run_resumes_to_the_same_weights(prepared, tmp_path):
    """kill -9 in the middle; the same command with --resume ends where the undisturbed run does."""
    command = ["train", "--data", str(prepared), "--compression", "10", *QUICK, "--seed", "3"]
    assert main([*command, "--out", str(tmp_path / "whole")]) == 0
    killer = (
        "import os, signal, sys; from pocketrec.training.run import Run; from pocketrec.cli import main\n"
        "step = Run._train_step\n"
        "def dying(self, batch):\n"
        "    if self.state.step == 9: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    step(self, batch)\n"
        "Run._train_step = dying; main(sys.argv[1:])"
    )
    died = subprocess.run([sys.executable, "-c", killer, *command, "--out", str(tmp_path / "cut")], capture_output=True)
    assert died.returncode == -signal.SIGKILL
    assert not (tmp_path / "cut" / "metrics.json").exists()
    assert main([*command, "--out", str(tmp_path / "cut"), "--resume"]) == 0
    whole, cut = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("whole", "cut"))
    assert (whole["test_auc"], whole["test_log_loss"]) == (cut["test_auc"], cut["test_log_loss"])
    import torch

    first, second = (torch.load(tmp_path / name / "model.pt", weights_only=True) for name in ("whole", "cut"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_resuming_a_finished_run_says_so_and_succeeds(prepared, trained, capsys):
    before = (trained / "metrics.json").read_bytes()
    command = ["train", "--data", str(prepared), "--compression", "10", "--out", str(trained), *QUICK, "--resume"]
    assert main(command) == 0
    assert "nothing to train" in capsys.readouterr().err
    assert (trained / "metrics.json").read_bytes() == before


def test_demo(tmp_path, capsys):
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--rows", "12000"]) == 0
    told = capsys.readouterr().out
    assert "full tables" in told
    assert "100x" in told
    assert (out / "comparison.png").read_bytes()[:4] == b"\x89PNG"
    assert main(["demo", "--out", str(out), "--rows", "12000"]) == 0, "a finished demo shows its table again"
    assert capsys.readouterr().out == told


@pytest.mark.skipif(not CRITEO.exists(), reason="the Criteo sample is not beside this checkout")
def test_the_criteo_sample_trains_and_evaluates(tmp_path, capsys):
    data, out = str(tmp_path / "prepared"), str(tmp_path / "run")
    assert main(["prepare", str(CRITEO), "--out", data]) == 0
    assert main(["train", "--data", data, "--compression", "100", "--out", out, "--epochs", "1", "--threads", "1"]) == 0
    assert main(["evaluate", out, "--data", data]) == 0
    assert "AUC" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["demo", "synth", "prepare", "train", "encode", "evaluate", "info"])
def test_help_shows_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"pocketrec {command}" in capsys.readouterr().out.partition("example")[2]


USAGE = {
    "unknown feature": (["--without", "C99"], "has no feature 'C99' to leave out"),
    "unknown option": (["--with", "chunksize=4"], "robe' has no option 'chunksize': did you mean 'chunk_size'"),
    "unknown precision": (["--precision", "int9"], "did you mean 'int8'"),
    "preset of another ranker": (["--model", "deepfm", "--preset", "terabyte"], "deepfm has none called 'terabyte'"),
    "full tables in int8": (["--sharing", "full", "--precision", "int8"], "precision int8 is for memories"),
    "unknown scheme": (["--sharing", "rob"], "did you mean 'robe'"),
    "unknown preset": (["--preset", "kagle"], "did you mean 'kaggle'"),
    "unknown model": (["--model", "drlm"], "did you mean 'dlrm'"),
    "unknown ids": (["--ids", "rawr"], "did you mean 'raw'"),
    "unknown hash": (["--hash", "lineer"], "did you mean 'linear'"),
    "unknown optimiser": (["--optimizer", "adamm"], "did you mean 'adam'"),
    "compression below 1": (["--compression", "0.01"], "at least 1 .*got 0.01"),
    "compression too large": (["--compression", "5000"], "lower the compression"),
    "nothing left": (["--compression", "1e9"], "compression: 1e\\+09 leaves not one slot"),
    "two budgets": (["--compression", "10", "--memory-size", "100"], "both set the budget"),
    "full with a budget": (["--sharing", "full", "--compression", "10"], "neither compression nor memory_size"),
    "full on raw ids": (["--sharing", "full", "--ids", "raw"], "use ids 'vocabulary'"),
    "a flag of another scheme": (["--sharing", "full", "--hash", "linear"], "--hash means nothing to sharing 'full'"),
    "no epochs": (["--epochs", "0"], "epochs: must be a whole number of at least 1, got 0"),
    "no batch": (["--batch-size", "0"], "batch_size: must be at least 1, got 0"),
    "no device": (["--device", "abacus"], "device: must be a torch device"),
    "init": (["--init", "widht"], "did you mean 'width'"),
}


@pytest.mark.parametrize("case", USAGE)
def test_bad_flags_end_with_one_line_and_code_2(case, prepared, tmp_path, capsys):
    flags, message = USAGE[case]
    assert main(["train", "--data", str(prepared), "--out", str(tmp_path / "run"), *flags]) == 2
    _one_line(capsys.readouterr().err, message)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("flags", "told"), [([], "--data"), (["--with", "operation"], "wants NAME=VALUE")])
def test_a_missing_flag_or_value_is_argparses_own_error(flags, told, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", "--out", "run", *flags])
    assert stop.value.code == 2
    assert told in capsys.readouterr().err


def test_bad_data_ends_with_one_line_and_code_1(prepared, trained, tmp_path, capsys):
    cases = {
        ("prepare", str(tmp_path / "absent.tsv"), "--out", str(tmp_path / "p")): "absent.tsv",
        ("train", "--data", str(tmp_path / "absent"), "--out", str(tmp_path / "r")): "no such folder",
        ("evaluate", str(tmp_path / "absent"), "--data", str(prepared)): "not a run folder",
        ("info", str(tmp_path)): "neither a prepared log",
    }
    for command, message in cases.items():
        assert main(list(command)) == 1
        _one_line(capsys.readouterr().err, message)


def test_folders_that_hold_something_else_are_left_alone(prepared, trained, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    mine = str(tmp_path / "mine")
    for command in (["train", "--data", str(prepared), "--out", mine], ["demo", "--out", mine]):
        assert main(command) == 2
        _one_line(capsys.readouterr().err, "holds something that is not a")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    assert main(["train", "--data", str(prepared), "--compression", "10", "--out", str(trained), *QUICK]) == 2
    _one_line(capsys.readouterr().err, "already holds a run: go on with --resume")


def test_another_run_or_log_is_refused(prepared, trained, tmp_path, capsys):
    same = ["train", "--data", str(prepared), "--compression", "10", "--out", str(trained), "--resume", *QUICK]
    assert main([*same, "--seed", "9"]) == 1
    _one_line(capsys.readouterr().err, "run.training.seed: was 0, now 9")
    synthesize(tmp_path / "other.tsv", rows=5000, distinct_ids=2000, seed=8, progress=False)
    prepare(tmp_path / "other.tsv", tmp_path / "other", progress=False)
    assert main([*same[:2], str(tmp_path / "other"), *same[3:]]) == 1
    _one_line(capsys.readouterr().err, "another run: data: was")
    assert main(["evaluate", str(trained), "--data", str(tmp_path / "other")]) == 1
    _one_line(capsys.readouterr().err, "is not the log")


def test_a_raw_id_run_scores_another_log(prepared, tmp_path, capsys):
    """Without an id map a model is not tied to the log it was trained on."""
    out = str(tmp_path / "run")
    assert main(["train", "--data", str(prepared), "--ids", "raw", "--compression", "10", "--out", out, *QUICK]) == 0
    synthesize(tmp_path / "other.tsv", rows=3000, distinct_ids=2000, seed=0, progress=False)
    prepare(tmp_path / "other.tsv", tmp_path / "other", progress=False)
    assert main(["evaluate", out, "--data", str(tmp_path / "other")]) == 0


def test_a_run_killed_before_its_first_file_was_whole_starts_again(prepared, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".config.json.abc.part").write_text("{")
    command = ["train", "--data", str(prepared), "--compression", "10", "--out", str(tmp_path / "run"), *QUICK]
    assert main([*command, "--resume"]) == 0
    assert not list((tmp_path / "run").glob(".*"))


def test_the_min_count_of_a_run_counts_its_own_full_tables(prepared, tmp_path):
    command = ["train", "--data", str(prepared), "--sharing", "full", "--min-count", "4"]
    assert main([*command, "--out", str(tmp_path / "run"), *QUICK]) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["compression_min_count"] == 1
    assert metrics["compression"] > 1


def test_torn_run_folders_are_named(prepared, trained, tmp_path, capsys):
    import shutil

    for name, damage, code, message in (
        ("model.pt", lambda p: p.write_bytes(p.read_bytes()[:100]), 1, "model.pt"),
        ("model.pt", lambda p: p.unlink(), 2, "holds an unfinished run"),
        ("config.json", lambda p: p.write_text("{"), 1, "config.json: damaged"),
        ("config.json", lambda p: p.write_text('{"run": [], "data": "", "shape": {}}'), 1, "config.json: damaged"),
    ):
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(trained, copy)
        damage(copy / name)
        assert main(["evaluate", str(copy), "--data", str(prepared)]) == code
        _one_line(capsys.readouterr().err, message)


def test_a_full_disk_is_said_in_one_line(prepared, tmp_path, monkeypatch, capsys):
    import errno

    from pocketrec import files

    def full(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device", "run/config.json")

    monkeypatch.setattr(files.tempfile, "mkstemp", full)
    assert main(["train", "--data", str(prepared), "--out", str(tmp_path / "run"), *QUICK]) == 1
    _one_line(capsys.readouterr().err, "No space left on device: make room")


def _one_line(stderr: str, message: str) -> None:
    import re

    lines = [line for line in stderr.splitlines() if line.startswith("pocketrec: error: ")]
    assert len(lines) == 1, stderr
    assert re.search(message, lines[0]), lines[0]
    assert "Traceback" not in stderr
