"""The planner: which tables it plans for, and whose counts it takes."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from asked import told

from pocketrec.data import open_log, prepare
from pocketrec.data.npy import file_sha256
from pocketrec.data.vocabulary_files import COUNTS
from pocketrec.errors import DataError, UsageError
from pocketrec.plan import (
    TableSize,
    Workload,
    log_workload,
    plan,
    preset,
)
from pocketrec.theory import FrequencyProfile


def test_criteo_tb_is_the_25_billion_parameter_case(capsys):
    found = told(capsys, "--preset", "criteo-tb", "--compression", "10000")
    assert found["num_rows"] == 204_184_588
    assert found["num_parameters"] == 204_184_588 * 128 > 25e9
    assert found["full"]["weights"] == 4 * found["num_parameters"]
    assert found["budget"]["bytes"] == found["shared"]["weights"] == 4 * (found["num_parameters"] // 10_000)
    assert "capped" in found["rows_are"]
    assert "187,767,399" in found["rows_are"]
    assert "882,774,559" in found["rows_are"]


def test_criteo_kaggle_has_the_sizes_of_the_log():
    kaggle = preset("criteo-kaggle")
    assert (kaggle.num_rows, set(kaggle.widths)) == (33_762_577, {16})
    assert {table.num_embeddings for table in kaggle.tables} >= {3, 10_131_227}
    assert set(preset("criteo-kaggle", 64).widths) == {64}


def test_a_folder_is_planned_for_by_its_own_counts(prepared):
    manifest = open_log(prepared, progress=False).manifest
    workload = log_workload(prepared, progress=False)
    assert [table.num_embeddings for table in workload.tables] == [n for n in manifest.cardinalities if n > 1]
    assert {profile.lookups for profile in workload.profiles} == {manifest.rows["train"]}
    assert [p.distinct for p in workload.profiles] == [table.num_embeddings for table in workload.tables]
    found = plan(workload, compression=10)
    assert found.compression_min_count == pytest.approx(
        found.budget.compression * (sum(manifest.kept) + len(manifest.kept)) / sum(manifest.cardinalities)
    )


def test_a_folder_through_the_command_line(prepared, capsys):
    found = told(capsys, "--data", str(prepared), "--memory", "2kB")
    assert found["budget"]["bytes"] == 2000
    assert "own" in found["frequencies_are"]
    wide = told(capsys, "--data", str(prepared), "--memory", "2kB", "--embedding-dim", "32")
    assert wide["num_parameters"] == 2 * found["num_parameters"]


def test_constant_columns_are_left_out(tmp_path):
    lines = [f"{row % 2},{row % 7},same" for row in range(200)]
    (tmp_path / "clicks.csv").write_text("\n".join(["click,user,site", *lines]))
    columns = {"label": "click", "categorical": ["user", "site"]}
    prepare(tmp_path / "clicks.csv", tmp_path / "prepared", format="csv", **columns, progress=False)
    workload = log_workload(tmp_path / "prepared", progress=False)
    assert [table.name for table in workload.tables] == ["user"]
    assert "1 constant column left out" in workload.rows_are


def test_a_profile_that_does_not_match_the_schema_is_refused(prepared, tmp_path):
    """Counts that another log had, under a manifest that vouches for them."""
    folder = Path(shutil.copytree(prepared, tmp_path / "other"))
    counts = np.load(folder / COUNTS)
    counts[0] += 1
    np.save(folder / COUNTS, counts)
    manifest = open_log(prepared, progress=False).manifest
    info = dataclasses.replace(manifest.vocabulary_files[COUNTS], sha256=file_sha256(folder / COUNTS))
    files = manifest.vocabulary_files | {COUNTS: info}
    dataclasses.replace(manifest, vocabulary_files=files).write(folder)
    with pytest.raises(DataError, match=r"profile of 'cat_0' counts .* in 3201 rows, the manifest .* in 3200"):
        log_workload(folder, progress=False)


def test_profiles_of_other_tables_are_refused():
    profile = FrequencyProfile.from_counts(np.arange(1, 6))
    with pytest.raises(UsageError, match="that of table 'a' counts 5 ids, the table has 3 rows"):
        Workload(name="x", tables=(TableSize("a", 3, 4),), profiles=(profile,))
    with pytest.raises(UsageError, match="one a table, got 2 for 1"):
        Workload(name="x", tables=(TableSize("a", 9, 4),), profiles=(profile, profile))
    with pytest.raises(UsageError, match="none to plan for"):
        Workload(name="x", tables=(), profiles=())
