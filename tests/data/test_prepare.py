"""Raw logs in, prepared arrays out: against a reading in plain Python."""

import gzip
from collections import Counter

import numpy as np
import pytest
from criteo import expected, line, random_lines, stored, write
from hypothesis import given, settings, strategies as st

from pocketrec.data import open_log, prepare, runs, shards
from pocketrec.errors import DataError
from pocketrec.hashing import text_id


def test_one_line_by_hand(tmp_path):
    lines = [line(1, [3, "", -2], ["0000000a", "ffffffff", "", "1F"])] * 3
    prepare(write(tmp_path / "a.tsv", lines), tmp_path / "out", split="1/1/1", progress=False)
    for split in ("train", "validation", "test"):
        labels, dense, ids = stored(tmp_path / "out", split)
        assert labels.tolist() == [1]
        np.testing.assert_array_equal(dense[0, :3], np.log1p([3, 0, 0]).astype(np.float32))
        assert ids[0, :5].tolist() == [10, 0xFFFFFFFF, 0, 31, 0]
        assert (labels.dtype, dense.dtype, ids.dtype) == (np.int8, np.float32, np.uint32)


@settings(max_examples=15, deadline=None)
@given(
    rows=st.integers(8, 200),
    weights=st.tuples(st.integers(1, 4), st.integers(0, 2), st.integers(0, 2)),
    seed=st.integers(0, 99),
    block_bytes=st.sampled_from([700, 5000, 1 << 20]),
    workers=st.integers(1, 3),
    end=st.sampled_from(["\n", "\r\n"]),
    last_newlines=st.integers(0, 2),
)
def test_random_logs(tmp_path_factory, rows, weights, seed, block_bytes, workers, end, last_newlines):
    folder = tmp_path_factory.mktemp("log")
    lines = random_lines(rows, seed)
    (folder / "a.tsv").write_bytes((end.join(lines) + end * last_newlines).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "BLOCK_BYTES", block_bytes)
        split = "/".join(map(str, weights))
        manifest = prepare(folder / "a.tsv", folder / "out", split=split, workers=workers, progress=False)
    labels, dense, ids = expected(lines)
    pattern = np.repeat(np.arange(3), weights)
    codes = pattern[np.arange(rows) % len(pattern)]
    for code, split in enumerate(("train", "validation", "test")):
        assert manifest.rows[split] == (codes == code).sum()
        if manifest.rows[split]:
            found = stored(folder / "out", split)
            np.testing.assert_array_equal(found[0], labels[codes == code])
            np.testing.assert_allclose(found[1], dense[codes == code], rtol=1e-6)
            np.testing.assert_array_equal(found[2], ids[codes == code])
    _check_vocabulary(folder / "out", ids[codes == 0])


def _check_vocabulary(folder, training_ids, min_count=2):
    log = open_log(folder)
    counts = [Counter(column.tolist()) for column in training_ids.T]
    assert log.manifest.cardinalities == tuple(len(c) for c in counts)
    kept = [sorted(value for value, n in c.items() if n >= min_count) for c in counts]
    assert log.manifest.kept == tuple(map(len, kept))
    assert [ids.tolist() for ids in log.kept_ids(min_count)] == kept
    assert np.load(folder / "vocabulary_counts.npy").sum() == training_ids.size


def test_counts_that_do_not_fit_are_spilled(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "BUDGET_BYTES", 1)
    monkeypatch.setattr(runs.RunCounter, "__init__", _tiny_budget(runs.RunCounter.__init__))
    monkeypatch.setattr(shards, "BLOCK_BYTES", 2000)
    lines = random_lines(300, values=50)
    prepare(write(tmp_path / "a.tsv", lines), tmp_path / "out", split="1/0/0", progress=False)
    _check_vocabulary(tmp_path / "out", expected(lines)[2])


def _tiny_budget(original):
    def init(self, features, id_dtype, folder, stem, budget_bytes):
        original(self, features, id_dtype, folder, stem, budget_bytes=3000)

    return init


@pytest.mark.parametrize("merge_rows", [1, 3, 1000])
def test_merge_by_ranges(merge_rows):
    rng = np.random.default_rng(0)
    columns = [rng.integers(0, 60, n) for n in (1, 50, 0, 200)]
    pieces = list(runs.merge_by_ranges([runs.count_values(c) for c in columns], merge_rows))
    ids, counts = np.unique(np.concatenate(columns), return_counts=True)
    np.testing.assert_array_equal(np.concatenate([p["id"] for p in pieces]), ids)
    np.testing.assert_array_equal(np.concatenate([p["count"] for p in pieces]), counts)


def test_gzip_and_plain_give_the_same(tmp_path):
    text = "".join(f"{row}\n" for row in random_lines(50)).encode()
    (tmp_path / "a.tsv").write_bytes(text)
    (tmp_path / "b.tsv.gz").write_bytes(gzip.compress(text[:3000]) + gzip.compress(text[3000:]))
    plain = prepare(tmp_path / "a.tsv", tmp_path / "plain", progress=False)
    packed = prepare(tmp_path / "b.tsv.gz", tmp_path / "packed", progress=False)
    assert plain.fingerprint == packed.fingerprint
    assert packed.inputs[0].bytes < plain.inputs[0].bytes


def test_fingerprint_follows_the_data(tmp_path):
    lines = random_lines(30)
    first = prepare(write(tmp_path / "a.tsv", lines), tmp_path / "a", progress=False)
    lines[7] = lines[7].replace(lines[7][0], "01"["10".index(lines[7][0])], 1)
    second = prepare(write(tmp_path / "b.tsv", lines), tmp_path / "b", progress=False)
    assert first.fingerprint != second.fingerprint


def test_several_files_are_several_shards(tmp_path):
    lines = [random_lines(n, seed=n) for n in (40, 25, 31)]
    paths = [write(tmp_path / f"{k}.tsv", each) for k, each in enumerate(lines)]
    manifest = prepare(paths, tmp_path / "out", progress=False)
    assert [shard.rows["train"] for shard in manifest.shards] == [32, 21, 25]
    training = [row for each in lines for r, row in enumerate(each) if r % 10 < 8]
    np.testing.assert_array_equal(stored(tmp_path / "out", "train", (0, 1, 2))[2], expected(training)[2])
    _check_vocabulary(tmp_path / "out", expected(training)[2])


@pytest.mark.parametrize("split", ["file", "train=0.tsv,1.tsv; validation=2.tsv; test=3.tsv"])
def test_split_by_file(tmp_path, split):
    paths = [write(tmp_path / f"{k}.tsv", random_lines(5 + k)) for k in range(4)]
    manifest = prepare(paths, tmp_path / "out", split=split, progress=False)
    assert manifest.rows == {"train": 11, "validation": 7, "test": 8}


def test_split_by_time_is_exact_and_keeps_moments_together(tmp_path):
    days = [3, 1, 2, 2, 1, 1, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 8, 9]
    rows = "".join(f"{k % 2},2024-01-{day:02d},u{k}\n" for k, day in enumerate(days))
    (tmp_path / "a.csv").write_text("click,when,user\n" + rows)
    options = {"format": "csv", "label": "click", "categorical": ["user"], "split": "time", "time_column": "when"}
    manifest = prepare(tmp_path / "a.csv", tmp_path / "out", progress=False, **options)
    # 80 % of 20 rows are 16; the 16th row in time is of day 2, and so are 13 + 3 rows in all.
    assert manifest.rows == {"train": 16, "validation": 2, "test": 2}
    ids = stored(tmp_path / "out", "test")[2]
    assert set(ids[:, 0].tolist()) == {text_id("u6"), text_id("u19")}


def test_csv_with_quotes_text_and_integers(tmp_path):
    text = 'user,"a, b",extra,click,item\n12,1.5,x,1,"red, ""big"""\n,,"two\nlines",0,\n7,-3,"",1,""\n12,2,z,0,blue\n'
    (tmp_path / "a.csv").write_text("\ufeff" + text)
    options = {"format": "csv", "label": "click", "dense": ["a, b"], "categorical": ["item", "user"]}
    manifest = prepare(tmp_path / "a.csv", tmp_path / "out", split="1/0/0", progress=False, **options)
    labels, dense, ids = stored(tmp_path / "out", "train")
    assert labels.tolist() == [1, 0, 1, 0]
    np.testing.assert_allclose(dense[:, 0], np.log1p([1.5, 0, 0, 2]), rtol=1e-6)
    assert ids.tolist() == [[text_id('red, "big"'), 12], [0, 0], [0, 7], [text_id("blue"), 12]]
    assert manifest.id_kinds == ("text", "integer")
    assert manifest.id_dtype == "int64"


def test_integers_declared_as_text(tmp_path):
    (tmp_path / "a.tsv").write_text("y\tc\n1\t007\n0\t7\n")
    options = {"format": "csv", "separator": "\t", "label": "y", "categorical": ["c"], "text": ["c"], "split": "1/0/0"}
    prepare(tmp_path / "a.tsv", tmp_path / "out", progress=False, **options)
    assert stored(tmp_path / "out", "train")[2].tolist() == [[text_id("007")], [text_id("7")]]


def test_parquet(tmp_path):
    import polars as pl

    frame = pl.DataFrame(
        {
            "y": [True, False, True],
            "x": [1.0, None, 4.0],
            "n": pl.Series([5, None, (1 << 62) - 1], dtype=pl.UInt64),
            "s": pl.Series(["a", "", None], dtype=pl.Categorical),
        }
    )
    frame.write_parquet(tmp_path / "a.parquet")
    options = {"format": "parquet", "label": "y", "dense": ["x"], "categorical": ["n", "s"], "split": "1/0/0"}
    manifest = prepare(tmp_path / "a.parquet", tmp_path / "out", progress=False, **options)
    labels, dense, ids = stored(tmp_path / "out", "train")
    assert labels.tolist() == [1, 0, 1]
    np.testing.assert_allclose(dense[:, 0], np.log1p([1, 0, 4]), rtol=1e-6)
    assert ids.tolist() == [[5, text_id("a")], [0, 0], [(1 << 62) - 1, 0]]
    assert manifest.id_kinds == ("integer", "text")


def test_finished_folder_is_kept_and_another_is_refused(tmp_path, capsys):
    path = write(tmp_path / "a.tsv", random_lines(30))
    first = prepare(path, tmp_path / "out", progress=False)
    stamp = (tmp_path / "out" / "train_00000_labels.npy").stat().st_mtime_ns
    assert prepare(path, tmp_path / "out", progress=False) == first
    assert "already prepared" in capsys.readouterr().err
    assert (tmp_path / "out" / "train_00000_labels.npy").stat().st_mtime_ns == stamp
    with pytest.raises(DataError, match="other options"):
        prepare(path, tmp_path / "out", min_count=3, progress=False)
    with pytest.raises(DataError, match="other files"):
        prepare(write(tmp_path / "b.tsv", random_lines(31)), tmp_path / "out", progress=False)
