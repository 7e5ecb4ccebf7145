"""What `pocketrec score` tells of a log whose values the model never learned: it would score it without a word."""

from __future__ import annotations

import random

import numpy as np
import polars as pl
import pytest
import small_dlrm as small
from score_logs import exported

from pocketrec.artifact import read_artifact
from pocketrec.cli import main
from pocketrec.data.ids import FilteredIds
from pocketrec.runtime import known as known_module, native_library, score_file
from pocketrec.runtime.known import SAMPLE, KnownValues

pytestmark = [
    pytest.mark.usefixtures("small_blocks"),
    pytest.mark.skipif(native_library.library() is None, reason="no C++ compiler built the native library"),
]


def log(path, rows):
    """hex_0: a kept id in every second row, a blank in every fifth; integer_1: kept; text_2: unknown; hex_3: blank."""
    drawn, (hexes, integers, *_) = random.Random(0), small.kept_ids()
    columns = {
        "hex_0": ["" if i % 5 == 0 else f"{hexes[i % 300] if i % 2 else i + 1:x}" for i in range(rows)],
        "integer_1": [str(integers[i % 19 + 1]) for i in range(rows)],
        "text_2": [f"word {drawn.random()}" for _ in range(rows)],
        "hex_3": [""] * rows,
        **{name: ["1"] * rows for name in small.DENSE},
    }
    pl.DataFrame(columns).write_csv(path)
    return path


@pytest.mark.parametrize("policy", ["vocabulary", "ranked", "filtered"])
def test_values_that_the_model_never_learned(tmp_path, policy, capsys):
    artifact = exported(tmp_path / "shop.pocket", policy)
    path, out = log(tmp_path / "log.csv", 1000), tmp_path / "s.parquet"
    assert main(["score", str(artifact), "--in", str(path), "--out", str(out)]) == 0
    told = capsys.readouterr()
    share = (400 + 1000) / (800 + 1000 + 1000)
    (line,) = (line for line in told.out.splitlines() if "known values" in line)
    assert float(line.split()[2].rstrip("%")) == pytest.approx(100 * share, abs=2 if policy == "filtered" else 0.05)
    assert "of text_2 the model knows next to no value" in told.err


def test_too_few_values_to_wonder_at(tmp_path):
    artifact = exported(tmp_path / "shop.pocket", "vocabulary")
    report = score_file(artifact, log(tmp_path / "log.csv", 90), tmp_path / "s.parquet", progress=False)
    assert (report.rows, report.strange) == (90, ())
    assert report.known == pytest.approx((36 + 90) / (72 + 90 + 90))


def test_a_model_that_takes_ids_as_they_come_knows_none(tmp_path, shop, capsys):
    path, out = log(tmp_path / "log.csv", 200), tmp_path / "s.parquet"
    assert np.isnan(score_file(shop, path, tmp_path / "t.parquet", progress=False).known)
    assert main(["score", str(shop), "--in", str(path), "--out", str(out)]) == 0
    told = capsys.readouterr()
    assert "known values" not in told.out
    assert "next to no value" not in told.err


@pytest.mark.parametrize("bits", [4, 10])
def test_what_a_filter_holds_by_chance_is_no_knowledge(tmp_path, bits):
    """At four bits an id, a filter holds one in seven of the values of a wholly other log."""
    known, kept, other = filtered(tmp_path, bits)
    known.add(known.count(np.stack([kept] * 4, 1)))
    assert known.share == pytest.approx(0.25, abs=0.08)  # the first feature's
    assert known.strange == small.FEATURES[1:]
    known.add(known.count(other) * 100)
    assert known.share < 0.08


def test_without_the_library_nothing_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(known_module, "library", lambda: None)
    known, _, other = filtered(tmp_path, 10)
    known.add(known.count(other))
    assert np.isnan(known.share)
    assert not known.strange


def test_a_filter_that_holds_half_of_everything_tells_nothing(tmp_path):
    known, _, other = filtered(tmp_path, 1)
    known.add(known.count(other))
    assert np.isnan(known.share)
    assert not known.strange


def test_a_sample_is_looked_at(tmp_path):
    """A few in a hundred rows, and not the work of translating every id once more."""
    known, *_ = filtered(tmp_path, 10)
    assert known.count(np.ones((10 * SAMPLE, 4), np.int64))[1].tolist() == [SAMPLE] * 4


def filtered(folder, bits):
    """What is known by a filter of so many bits an id; 300 ids that it holds of the first feature, and others."""
    ids = FilteredIds.build(small.kept_ids(), bits, 2)
    artifact = read_artifact(small.write(folder / "shop.pocket", small.dlrm(ids), ids))
    return KnownValues(artifact), small.kept_ids()[0], np.random.default_rng(5).integers(1, 1 << 62, (400, 4))
