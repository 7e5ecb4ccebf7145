"""Models that `pocketrec score` is tested with, and blocks so small that a short log has many."""

from __future__ import annotations

import pytest
from score_logs import CRITEO, exported

from pocketrec.runtime import scoring


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


@pytest.fixture
def small_blocks(monkeypatch):
    """Many blocks and parts of a small file."""
    monkeypatch.setattr(scoring, "BLOCK_BYTES", 4000)
    monkeypatch.setattr(scoring, "PART_ROWS", 100)
