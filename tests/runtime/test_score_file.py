"""`pocketrec score`: what prepare reads is scored row by row, with labels or without, and a kill costs only time."""

from __future__ import annotations

import gzip
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from score_logs import SHOP, by_hand, lines, read, write

from pocketrec.cli import main
from pocketrec.errors import DataError, UsageError
from pocketrec.runtime import area as area_module, load, score_file

pytestmark = pytest.mark.usefixtures("small_blocks")


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
