"""A cache of its own for every test, and a small prepared log."""

from __future__ import annotations

import pytest

from pocketrec.data import prepare, synthesize


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    synthesize(folder / "clicks.tsv", rows=4000, distinct_ids=2000, progress=False)
    prepare(folder / "clicks.tsv", folder / "prepared", progress=False)
    return folder / "prepared"
