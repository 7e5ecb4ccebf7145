"""docs/theory.md says what the code says, and names all of it; docs/theory.svg is what the script draws."""

from __future__ import annotations

import doctest
import re
import sys
from pathlib import Path

import pytest

from pocketrec import theory

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "theory.md").read_text(encoding="utf-8")


def test_the_examples_run():
    found = doctest.testfile(str(DOCS / "theory.md"), module_relative=False)
    assert found.attempted > 10
    assert found.failed == 0


def test_every_function_has_its_row():
    rows = set(re.findall(r"^\|[^`\n]*\| `(\w+)[`(]", TEXT, re.MULTILINE))
    assert rows | {"FrequencyProfile", "LoadDistribution", "epsilon_reached", "expected_occupied_slots"} == {
        *theory.__all__
    }


def test_the_figure_is_what_the_script_draws(monkeypatch):
    """Number by number, within half a pixel: a condition number's last digits are the machine's."""
    monkeypatch.syspath_prepend(str(DOCS))
    import theory_figure

    drawn, kept = theory_figure.figure(), theory_figure.FIGURE.read_text(encoding="utf-8")
    sys.modules.pop("theory_figure")
    sys.modules.pop("svg", None)
    number = r"-?\d+(?:\.\d+)?"
    assert re.sub(number, "", drawn) == re.sub(number, "", kept)
    values, kept_values = ([float(v) for v in re.findall(number, text)] for text in (drawn, kept))
    assert values == pytest.approx(kept_values, abs=0.5)
