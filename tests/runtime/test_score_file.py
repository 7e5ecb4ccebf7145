"""`pocketrec score`: what prepare reads is scored row by row, with labels or without, and a kill costs only time."""

from __future__ import annotations

import gzip
import json
import random
import signal
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import small_dlrm as small

from pocketrec.cli import main
from pocketrec.data.lock import lock_folder
from pocketrec.errors import DataError, UsageError
from pocketrec.export.graph import build_graph
from pocketrec.runtime import area as area_module, load, score_file, scoring, unfinished
from pocketrec.runtime.model import Model

CRITEO = {
    "inputs": {
        "dense": ["int_0", "int_5", "int_12"],
        "dense_transform": "log1p",
        "categorical": [{"name": f"cat_{place}", "kind": "hex"} for place in (3, 0, 25, 7)],
    },
    "tables": [{"feature": f"cat_{place}", "num_embeddings": None, "embedding_dim": 8} for place in (3, 0, 25, 7)],
}


def exported(path, policy, told=None):
    """With a graph as an export makes it: a file is scored by whichever engine is there."""
    ids = small.policy(policy)
    model = small.dlrm(ids)
    graph = build_graph(model, ids, range(len(small.KINDS)), len(small.DENSE))
    return small.write(path, model, ids, told=told, exported=graph)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(scope="module")
def criteo(folder):
    """A model of some of Criteo's columns, in an order of its own."""
    return exported(folder / "criteo.pocket", "raw", CRITEO)


@pytest.fixture(scope="module")
def shop(folder):
    """A model of columns of all kinds."""
    return exported(folder / "shop.pocket", "raw")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Many blocks and parts of a small file."""
    monkeypatch.setattr(scoring, "BLOCK_BYTES", 4000)
    monkeypatch.setattr(scoring, "PART_ROWS", 100)


def lines(rows, seed=0):
    """Rows of Criteo's fields as text: label, 13 integers, 26 hex values, some of them blank."""
    drawn = random.Random(seed)
    return [
        [
            str(drawn.randint(0, 1)),
            *("" if drawn.random() < 0.2 else str(drawn.randint(-2, 900)) for _ in range(13)),
            *("" if drawn.random() < 0.2 else f"{drawn.getrandbits(32):08x}" for _ in range(26)),
        ]
        for _ in range(rows)
    ]


def write(path, rows):
    path.write_text("".join("\t".join(row) + "\n" for row in rows))
    return path


def by_hand(artifact, rows):
    """The scores of rows of text, read here in plain Python."""
    names = ["label", *(f"int_{i}" for i in range(13)), *(f"cat_{i}" for i in range(26))]
    model = load(artifact)
    wanted = model.recipe.inputs.names
    return model.score_rows([{name: row[names.index(name)] for name in wanted} for row in rows])


def read(path):
    return pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path)


def area(scores, labels):
    """AUC by comparing every pair."""
    more = scores[labels == 1][:, None] - scores[labels == 0][None]
    return float(((more > 0) + (more == 0) / 2).mean())


@pytest.mark.parametrize("name", ["scores.parquet", "scores.csv"])
def test_every_row_of_a_criteo_log(tmp_path, criteo, name, capsys):
    rows = lines(700)
    log, out = write(tmp_path / "log.tsv", rows), tmp_path / name
    assert main(["score", str(criteo), "--in", str(log), "--out", str(out), "--workers", "3"]) == 0
    table = read(out)
    assert table.columns == ["row", "score"]
    assert table["row"].to_list() == list(range(700))
    wanted = by_hand(criteo, rows)
    np.testing.assert_allclose(table["score"].to_numpy(), wanted, atol=1e-6)
    told = capsys.readouterr().out
    auc = area(wanted, np.array([int(row[0]) for row in rows]))
    assert f"AUC          {auc:.4f} (on 700 rows with a label)" in told
    assert sorted(each.name for each in tmp_path.iterdir()) == ["log.tsv", name]


def test_packed_without_labels_and_with_some(tmp_path, criteo):
    rows = lines(300)
    wanted = by_hand(criteo, rows)
    packed = tmp_path / "log.tsv.gz"
    packed.write_bytes(gzip.compress(write(tmp_path / "log.tsv", rows).read_bytes()))
    bare = write(tmp_path / "bare.tsv", [row[1:] for row in rows])
    blank = write(tmp_path / "blank.tsv", [["", *row[1:]] for row in rows])
    some = write(tmp_path / "some.tsv", [row if i % 3 else ["", *row[1:]] for i, row in enumerate(rows)])
    for number, (log, labelled) in enumerate([(packed, 300), (bare, 0), (blank, 0), (some, 200)]):
        out = tmp_path / f"{number}.parquet"
        report = score_file(criteo, log, out, progress=False)
        assert (report.rows, report.labelled, report.skipped) == (300, labelled, {})
        assert np.isnan(report.auc) == (labelled == 0)
        np.testing.assert_allclose(read(out)["score"].to_numpy(), wanted, atol=1e-6)


SHOP = [
    {"price": "3.5", "age": "", "seen": "12", "hex_0": "1f", "integer_1": "7", "text_2": "shoe", "hex_3": ""},
    {"price": "-1", "age": "40", "seen": "1e3", "hex_0": "", "integer_1": "", "text_2": "a,b", "hex_3": "68fd1e64"},
    {"price": "0", "age": "4", "seen": "", "hex_0": "ABC", "integer_1": "0", "text_2": "", "hex_3": "0"},
]


def test_csv_with_other_columns_between(tmp_path, shop):
    log = tmp_path / "log.csv"
    names = ["hex_3", "clicked", "text_2", "note", "price", "age", "integer_1", "seen", "hex_0"]
    shop_rows = [row | {"price": str(i * i)} for i, row in enumerate(SHOP * 50)]
    rows = [row | {"clicked": str(i % 2), "note": "-"} for i, row in enumerate(shop_rows)]
    pl.DataFrame(rows).select(names).write_csv(log)
    report = score_file(shop, log, tmp_path / "s.parquet", label="clicked", progress=False)
    wanted = load(shop).score_rows(shop_rows)
    np.testing.assert_allclose(read(tmp_path / "s.parquet")["score"].to_numpy(), wanted, atol=1e-6)
    assert report.auc == pytest.approx(area(wanted, np.arange(150) % 2), abs=1e-5)
    pl.DataFrame(rows).select(names).write_csv(log, separator=";")
    score_file(shop, log, tmp_path / "t.parquet", separator=";", progress=False)
    np.testing.assert_allclose(read(tmp_path / "t.parquet")["score"].to_numpy(), wanted, atol=1e-6)


def test_parquet_with_types(tmp_path, shop):
    columns = {
        "price": [3.5, -1.0, 0.0],
        "age": pl.Series([None, 40, 4], dtype=pl.Int16),
        "seen": [12, 1000, None],
        "hex_0": ["1f", None, "ABC"],
        "integer_1": pl.Series([7, None, 0], dtype=pl.UInt32),
        "text_2": pl.Series(["shoe", "a,b", None], dtype=pl.Categorical),
        "hex_3": [None, "68fd1e64", "0"],
        "clicked": [True, None, False],
    }
    log = tmp_path / "log.parquet"
    pl.DataFrame(columns).write_parquet(log)
    report = score_file(shop, log, tmp_path / "s.csv", label="clicked", progress=False)
    wanted = load(shop).score_rows(SHOP)
    np.testing.assert_allclose(read(tmp_path / "s.csv")["score"].to_numpy(), wanted, atol=1e-6)
    assert (report.rows, report.labelled) == (3, 2)


def test_auc_of_many_rows_is_binned(monkeypatch):
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 20_000)
    scores = (1 / (1 + np.exp(-random.normal(labels * 0.5, 1.0)))).astype(np.float32)
    exact = area_of(scores, labels)
    monkeypatch.setattr(area_module, "EXACT_ROWS", 3000)
    binned = area_of(scores, labels)
    assert area_of(scores[:2000], labels[:2000]) == pytest.approx(area(scores[:2000], labels[:2000]), abs=1e-12)
    assert binned == pytest.approx(exact, abs=1e-5)
    assert binned != exact
    assert np.isnan(area_of(scores, labels * 0))


def area_of(scores, labels):
    """In pieces of a thousand."""
    counted = area_module.Area()
    for first in range(0, len(scores), 1000):
        counted.add(scores[first : first + 1000], labels[first : first + 1000])
    return counted.auc()


def test_columns_that_are_missing_or_of_another_type(tmp_path, shop, criteo):
    log, out = tmp_path / "log.parquet", tmp_path / "s.parquet"
    pl.DataFrame(SHOP).drop("age").write_parquet(log)
    with pytest.raises(DataError, match="no column 'age'"):
        score_file(shop, log, out, progress=False)
    pl.DataFrame(SHOP).with_columns(hex_0=pl.lit(5)).write_parquet(log)
    with pytest.raises(DataError, match="'hex_0' holds Int32, in the log of the model it was hex"):
        score_file(shop, log, out, progress=False)
    with pytest.raises(UsageError, match="not Criteo's"):
        score_file(shop, log, out, format="criteo", progress=False)
    with pytest.raises(UsageError, match="label and separator are for csv"):
        score_file(criteo, log, out, format="criteo", label="x", progress=False)
    with pytest.raises(UsageError, match="'age' is one of the model's columns"):
        score_file(shop, log, out, label="age", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["log.parquet"]


def test_bad_rows_stop_or_are_counted(tmp_path, criteo, capsys):
    rows = lines(400)
    good = [row for i, row in enumerate(rows) if i not in (250, 333)]
    rows[250] = [*rows[250][:14], "xyz", *rows[250][15:]]
    rows[333] = ["1", "2"]
    log, out = write(tmp_path / "log.tsv", rows), tmp_path / "s.parquet"
    command = ["score", str(criteo), "--in", str(log), "--out", str(out)]
    assert main(command) == 1
    told = capsys.readouterr().err
    assert "line 251, column cat_0: a categorical value is at most 8 hex digits or blank, got 'xyz'" in told
    assert "--on-bad-row skip" in told
    assert not out.exists()
    assert main([*command, "--on-bad-row", "skip"]) == 0
    told = capsys.readouterr()
    assert "going on where an earlier score stopped" in told.err
    assert "skipped: cat_0: a categorical value is at most 8 hex digits or blank  1" in told.out
    assert "skipped: a row has 40 columns" in told.out
    table = read(out)
    assert table["row"].to_list() == [i for i in range(400) if i not in (250, 333)]
    np.testing.assert_allclose(table["score"].to_numpy(), by_hand(criteo, good), atol=1e-6)


def test_a_value_that_float32_cannot_hold(tmp_path, shop):
    log, out = tmp_path / "log.csv", tmp_path / "s.csv"
    pl.DataFrame([SHOP[0], SHOP[1] | {"price": "1e39"}]).write_csv(log)
    with pytest.raises(DataError, match="line 3, column price: a dense value is a finite number within float32"):
        score_file(shop, log, out, progress=False)


KILLED = """
import os, signal, sys
from pocketrec.runtime import scoring, unfinished
scoring.BLOCK_BYTES, scoring.PART_ROWS = 4000, 100
*arguments, parts = sys.argv[1:]
add, left = unfinished.Unfinished.add, [int(parts)]
def once_more(self, *args):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    add(self, *args)
unfinished.Unfinished.add = once_more
scoring.score_file(*arguments[:3], on_bad_row=(arguments[3:] or ["stop"])[0], progress=False)
"""


def killed(*arguments, parts):
    """`score_file` in a process that dies when it would keep one part more."""
    ended = subprocess.run([sys.executable, "-c", KILLED, *arguments, str(parts)], check=False)
    assert ended.returncode == -signal.SIGKILL


@pytest.mark.parametrize("suffix", ["tsv", "tsv.gz"])
def test_a_killed_run_goes_on(tmp_path, criteo, suffix, monkeypatch, capsys):
    rows = lines(1000)
    log, out = tmp_path / f"log.{suffix}", tmp_path / "s.parquet"
    write(log, rows)
    if suffix.endswith(".gz"):
        log.write_bytes(gzip.compress(log.read_bytes()))
    killed(criteo, log, out, parts=4)
    assert not out.exists()
    done = json.loads((tmp_path / ".s.parquet.scoring" / "state.json").read_text())["state"]["rows_read"]
    assert 400 <= done < 1000
    counted = []
    score = Model.score
    monkeypatch.setattr(Model, "score", lambda self, *args: counted.append(len(args[1])) or score(self, *args))
    report = score_file(criteo, log, out, progress=False)
    assert "going on" in capsys.readouterr().err
    assert 1000 - done <= sum(counted) < 1000
    assert report.rows == report.labelled == 1000
    assert report.fresh == 1000 - done
    assert read(out)["row"].to_list() == list(range(1000))
    np.testing.assert_allclose(read(out)["score"].to_numpy(), by_hand(criteo, rows), atol=1e-6)
    assert sorted(each.name for each in tmp_path.iterdir()) == [f"log.{suffix}", "s.parquet"]


def test_an_interrupted_score_says_that_it_goes_on(tmp_path, criteo, monkeypatch, capsys):
    rows = lines(600)
    log, out = write(tmp_path / "log.tsv", rows), tmp_path / "s.parquet"
    command = ["score", str(criteo), "--in", str(log), "--out", str(out)]
    add, kept = unfinished.Unfinished.add, []

    def interrupted(self, *args):
        if len(kept) == 3:
            raise KeyboardInterrupt
        kept.append(add(self, *args))

    with monkeypatch.context() as patched:
        patched.setattr(unfinished.Unfinished, "add", interrupted)
        assert main(command) == 130
    assert "is kept: the same command goes on" in capsys.readouterr().err
    assert main(command) == 0
    assert "scored earlier" in capsys.readouterr().out
    np.testing.assert_allclose(read(out)["score"].to_numpy(), by_hand(criteo, rows), atol=1e-6)


def test_what_another_log_left_is_dropped_and_told(tmp_path, criteo, capsys):
    log, out = write(tmp_path / "log.tsv", lines(600)), tmp_path / "s.parquet"
    killed(criteo, log, out, parts=3)
    rows = lines(600, seed=1)
    report = score_file(criteo, write(log, rows), out, progress=False)
    assert capsys.readouterr().err == f"{out}: starting anew: what an earlier score left was of another log\n"
    assert report.fresh == 600
    np.testing.assert_allclose(read(out)["score"].to_numpy(), by_hand(criteo, rows), atol=1e-6)


def test_what_another_artifact_left_is_dropped_and_told(tmp_path, criteo, folder, capsys):
    other = exported(folder / "other.pocket", "filtered", CRITEO)
    rows = lines(600)
    log, out = write(tmp_path / "log.tsv", rows), tmp_path / "s.parquet"
    killed(criteo, log, out, parts=3)
    score_file(other, log, out, progress=False)
    assert "starting anew: what an earlier score left was of another artifact\n" in capsys.readouterr().err
    np.testing.assert_allclose(read(out)["score"].to_numpy(), by_hand(other, rows), atol=1e-6)


def test_parts_that_cannot_be_gone_on_from_are_told(tmp_path, criteo, capsys):
    log, out = write(tmp_path / "log.tsv", lines(600)), tmp_path / "s.parquet"
    parts = tmp_path / ".s.parquet.scoring"
    for spoil, told in (
        (lambda: (parts / "state.json").write_text("{"), "what an earlier score left cannot be read"),
        (lambda: (parts / "000000.parquet").unlink(), "parts that an earlier score left are missing"),
    ):
        killed(criteo, log, out, parts=3)
        spoil()
        assert score_file(criteo, log, out, progress=False).rows == 600
        assert told in capsys.readouterr().err
        out.unlink()


def test_stop_does_not_go_on_behind_rows_that_were_skipped(tmp_path, criteo):
    """Its output would lack rows, and say nothing of it; the work that was done is kept."""
    rows = lines(1000)
    rows[20] = ["1", "2"]
    log, out = write(tmp_path / "log.tsv", rows), tmp_path / "s.parquet"
    killed(criteo, log, out, "skip", parts=3)
    with pytest.raises(
        DataError, match=r"left out rows \(1 x a row has 40 columns.*on-bad-row skip, or delete .*scoring"
    ):
        score_file(criteo, log, out, progress=False)
    report = score_file(criteo, log, out, on_bad_row="skip", progress=False)
    assert 0 < report.fresh < report.rows == 999
    assert read(out)["row"].to_list() == [i for i in range(1000) if i != 20]


def test_speed_counts_what_this_run_scored(tmp_path, criteo, capsys):
    log, out = write(tmp_path / "log.tsv", lines(1000)), tmp_path / "s.parquet"
    killed(criteo, log, out, parts=4)
    done = json.loads((tmp_path / ".s.parquet.scoring" / "state.json").read_text())["state"]["rows_read"]
    assert main(["score", str(criteo), "--in", str(log), "--out", str(out)]) == 0
    assert f"rows/s (without {done} scored earlier)" in capsys.readouterr().out


def test_parquet_goes_on_too(tmp_path, shop):
    """Its blocks are Polars' own; rows are counted, not blocks."""
    rows, log, out = SHOP * 400, tmp_path / "log.parquet", tmp_path / "s.parquet"
    typed = pl.DataFrame(rows).with_columns(pl.all().replace("", None))
    typed.with_columns(pl.col("price", "age", "seen").cast(float), pl.col("integer_1").cast(int)).write_parquet(log)
    killed(shop, log, out, parts=2)
    assert score_file(shop, log, out, progress=False).rows == 1200
    np.testing.assert_allclose(read(out)["score"].to_numpy(), load(shop).score_rows(rows), atol=1e-6)


def test_one_process_at_a_time(tmp_path, criteo):
    log, out = write(tmp_path / "log.tsv", lines(10)), tmp_path / "s.parquet"
    with lock_folder(tmp_path / ".s.parquet.scoring"), pytest.raises(DataError, match="another process is scoring"):
        score_file(criteo, log, out, progress=False)


def test_arguments(tmp_path, criteo, capsys):
    log = write(tmp_path / "log.tsv", lines(10))
    (tmp_path / "there.csv").write_text("mine")
    (tmp_path / "empty.tsv").write_text("")
    (tmp_path / "head.csv").write_text("a,b\n")
    cases = [
        ([log, tmp_path / "s.txt"], {}, UsageError, "written as .parquet or .csv"),
        ([log, tmp_path / "there.csv"], {}, DataError, "exists: delete it"),
        ([tmp_path / "none.tsv", tmp_path / "s.csv"], {}, DataError, "no such file"),
        ([tmp_path / "empty.tsv", tmp_path / "s.csv"], {}, DataError, "empty"),
        ([log, tmp_path / "s.csv"], {"format": "cvs"}, UsageError, "did you mean 'csv'"),
        ([log, tmp_path / "s.csv"], {"on_bad_row": "skp"}, UsageError, "did you mean 'skip'"),
        ([log, tmp_path / "s.csv"], {"workers": 0}, UsageError, "workers must be at least 1"),
        ([log, tmp_path / "s.csv"], {"engine": "torch"}, UsageError, "engine"),
    ]
    for files, options, error, told in cases:
        with pytest.raises(error, match=told):
            score_file(criteo, *files, progress=False, **options)
    assert (tmp_path / "there.csv").read_text() == "mine"
    assert main(["score", str(log), "--in", str(log), "--out", str(tmp_path / "s.csv")]) == 1
    assert "not a pocketrec artifact" in capsys.readouterr().err


def test_nothing_to_score(tmp_path, criteo, shop):
    out = tmp_path / "s.csv"
    header = tmp_path / "log.csv"
    header.write_text(",".join(SHOP[0]) + "\n")
    with pytest.raises(DataError, match="no row to score"):
        score_file(shop, header, out, progress=False)
    with pytest.raises(DataError, match=r"no row to score.*4 x a row has 40 columns"):
        score_file(criteo, write(tmp_path / "x.tsv", [["x"]] * 4), out, on_bad_row="skip", progress=False)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["log.csv", "x.tsv"]


def test_scoring_imports_no_torch(tmp_path, criteo):
    log = write(tmp_path / "log.tsv", lines(20))
    code = f"""
import sys
from pocketrec.cli import main
assert main(["score", {str(criteo)!r}, "--in", {str(log)!r}, "--out", {str(tmp_path / "s.csv")!r}]) == 0
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
