"""A fabricated study, and the page made of it."""

from __future__ import annotations

import pytest
from fabricated import TARGETS, write_study

from pocketrec.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished study and its report."""
    folder = write_study(tmp_path_factory.mktemp("book_crossing"), toml={"targets": TARGETS})
    assert main(["report", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "report.html").read_text(encoding="utf-8")
