"""The planner: what it prints."""

from __future__ import annotations

import subprocess
import sys

import pytest
from asked import BASE, told

from pocketrec.cli import main


def test_the_page_says_it_all(capsys):
    assert main(["plan", "--preset", "criteo-tb", "--compression", "10000", "--device", "t4"]) == 0
    page = capsys.readouterr().out
    assert "criteo-tb at 10,000x: 105 GB in 10.5 MB" in page
    for word in (
        "26.1 billion",
        "assumed",
        "row-sparse",
        "Adagrad",
        "--calibrate",
        "5.8x (1x to 8.7x)",
    ):
        assert word in page, word
    assert "18 smaller, mean" in page
    first, last = page.index("cat_0 "), page.index("cat_11 ")
    assert first < page.index("cat_10 ") < last, "the largest first"
    assert "full tables    does not fit" in page
    assert max(map(len, page.splitlines())) <= 110


def test_help_teaches_by_three_examples(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["plan", "--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.partition("examples:")[2].count("pocketrec plan") == 3


def test_hashednets_place_every_element_alone(capsys):
    found = told(capsys, *BASE, "--compression", "10", "--sharing", "hashednets")
    assert found["chunk_size"] == 1
    assert found["tables"] == told(capsys, *BASE, "--compression", "10", "--chunk-size", "1")["tables"]


def test_planning_needs_no_torch():
    flags = ["plan", "--preset", "criteo-tb", "--compression", "10000"]
    code = f"import sys\nfrom pocketrec.cli import main\nmain({flags})\nprint(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in out.stdout.splitlines()[-1].split()}
    assert "numpy" in loaded
    assert not loaded & {"torch", "polars", "scipy", "matplotlib"}
