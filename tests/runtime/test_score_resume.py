"""`pocketrec score` that was killed or interrupted: what is finished is kept, and told where it cannot be."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from score_logs import CRITEO, SHOP, by_hand, exported, lines, read, write

from pocketrec.cli import main
from pocketrec.data.lock import lock_folder
from pocketrec.errors import DataError
from pocketrec.runtime import load, score_file, unfinished
from pocketrec.runtime.model import Model

pytestmark = pytest.mark.usefixtures("small_blocks")

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
