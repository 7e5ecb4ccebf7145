"""Prepared folders that were damaged or are something else: opening them says which file, and what to do."""

import json

import numpy as np
import pytest
from criteo import random_lines, write

from pocketrec.data import npy, open_log, prepare
from pocketrec.errors import DataError


@pytest.fixture
def prepared(tmp_path):
    prepare(write(tmp_path / "a.tsv", random_lines(40)), tmp_path / "out", progress=False)
    return tmp_path / "out"


def test_open_missing_shard(prepared):
    (prepared / "train_00000_dense.npy").unlink()
    with pytest.raises(DataError, match=r"train_00000_dense\.npy is missing"):
        open_log(prepared)


def test_open_short_shard(prepared):
    with (prepared / "test_00000_sparse.npy").open("r+b") as file:
        file.truncate(200)
    with pytest.raises(DataError, match=r"test_00000_sparse\.npy: 200 bytes"):
        open_log(prepared)


@pytest.mark.parametrize("name", ["train_00000_labels.npy", "vocabulary_ids.npy"])
def test_open_altered_file(prepared, name):
    open_log(prepared)
    array = np.load(prepared / name)
    array[-1] ^= 1
    np.save(prepared / name, array)
    with pytest.raises(DataError, match=f"{name}: altered"):
        open_log(prepared, progress=False)


def test_open_checks_contents_once_per_change(prepared, monkeypatch):
    from pocketrec.data import verification

    hashed = []
    monkeypatch.setattr(verification, "file_sha256", lambda path: hashed.append(path.name) or npy.file_sha256(path))
    open_log(prepared, progress=False)
    assert not hashed
    (prepared / "test_00000_dense.npy").touch()
    open_log(prepared, progress=False)
    open_log(prepared, progress=False)
    assert hashed == ["test_00000_dense.npy"]
    open_log(prepared, verify=True, progress=False)
    assert len(hashed) == 12


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("rows", {"train": 99, "validation": 4, "test": 4}, "train rows of the shards"),
        ("rows", {"train": 32.0, "validation": 4, "test": 4}, "32.0 is not a count"),
        ("rows", {"train": 32}, "rows of"),
        ("cardinalities", [6], "1 cardinalities for 26 features"),
        ("cardinalities", [-1] * 26, "-1 is not a count"),
        ("kept", [10**6] * 26, "more values kept"),
        ("vocabulary_files", {}, "vocabulary_counts.npy is not listed"),
        ("dense_names", ["a"], "edited"),
        ("id_kinds", ["text"] * 26, "edited"),
        ("fingerprint", "0" * 32, "edited"),
    ],
)
def test_open_edited_manifest(prepared, field, value, told):
    path = prepared / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(DataError, match=f"manifest.json: damaged .*{told}.*prepare the log again"):
        open_log(prepared, progress=False)


def test_open_swapped_cardinalities(prepared):
    path = prepared / "manifest.json"
    told = json.loads(path.read_text())
    told["cardinalities"][0] += 1
    path.write_text(json.dumps(told))
    with pytest.raises(DataError, match="distinct values"):
        open_log(prepared, progress=False).vocabulary()


def test_open_something_else(tmp_path, prepared):
    with pytest.raises(DataError, match="no such folder"):
        open_log(tmp_path / "none")
    with pytest.raises(DataError, match="not a prepared folder"):
        open_log(tmp_path)
    text = (prepared / "manifest.json").read_text()
    for changed, told in (
        (text[:200], "damaged"),
        ("[]", "damaged"),
        ("{}", "damaged"),
        (text.replace('"version": 1', '"version": 99'), "format version 99"),
    ):
        (prepared / "manifest.json").write_text(changed)
        with pytest.raises(DataError, match=told):
            open_log(prepared)
