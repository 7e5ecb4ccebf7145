"""docs/: every scheme has its section and its figure, and figures are what the code draws."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from pocketrec.sharing import CODED, SCHEMES

DOCS = Path(__file__).parent.parent / "docs"
TEXT = (DOCS / "schemes.md").read_text(encoding="utf-8")


@pytest.fixture
def figures(monkeypatch):
    """docs/figures.py, imported as a script's module is."""
    monkeypatch.syspath_prepend(str(DOCS))
    import figures

    yield figures
    sys.modules.pop("figures")


def test_every_scheme_has_a_section_a_formula_and_a_figure():
    """Catches a scheme that is added, or renamed, without a word about where its rows come from."""
    headings = re.findall(r"^## (?:Not trained: )?`([\w-]+)` · `(\w+)\(", TEXT, re.MULTILINE)
    assert dict(headings) == {word: scheme.__name__ for word, scheme in (SCHEMES | CODED).items()}
    for word in [*SCHEMES, *CODED]:
        section = TEXT.split(f'<a id="{word}"></a>')[1].split("<a id=")[0]
        assert "    row(x)" in section
        assert f"](figures/{word}.svg)" in section
        assert "- **Stores** " in section
        assert "- **Suits** " in section
        assert word == "full" or "- **Paper** " in section
        assert f"[{word}](#{word})" in TEXT.split("<a id=")[0]


def test_no_figure_is_left_over():
    assert {path.stem for path in (DOCS / "figures").iterdir()} == {*SCHEMES, *CODED}


@pytest.mark.parametrize("word", SCHEMES)
def test_figures_are_what_the_code_draws(figures, word):
    """Byte for byte: catches a scheme whose rows come from elsewhere than its picture says. Run docs/figures.py."""
    assert figures.figure(word) == (figures.FIGURES / f"{word}.svg").read_text(encoding="utf-8")


def test_ribbons_cover_a_pattern_and_no_more(figures):
    """Runs of one each, of all by all, and both at once; a repeated slot, a gap, a last slot."""
    generator = np.random.default_rng(0)
    patterns = [generator.random((8, 20)) < p for p in (0.05, 0.3, 0.9, 1.0)]
    patterns += [np.eye(8), np.tile(np.eye(8), 2), np.zeros((8, 5)), np.eye(8)[::-1], np.eye(8) + np.eye(8, k=4)]
    for pattern in patterns:
        drawn = np.zeros_like(pattern, dtype=int)
        for ribbon in figures.runs(pattern):
            slots = np.arange(ribbon.weight, ribbon.weight + ribbon.weights)
            elements = np.arange(ribbon.element, ribbon.element + ribbon.elements)
            drawn[(elements, slots) if ribbon.one_each else np.ix_(elements, slots)] += 1
        assert np.array_equal(drawn, pattern != 0)


def test_the_figure_of_codes_shows_the_bits_of_every_tier(figures):
    """Not byte for byte: which of two numbers that matter alike gets a bit may depend on the machine's rounding."""
    drawn, kept = figures.figure("transform-coding"), (figures.FIGURES / "transform-coding.svg").read_text()
    told, kept_told = (re.findall(r">([\d,]+ to [\d,]+)<", svg) for svg in (drawn, kept))
    assert told == kept_told
    assert told[-1] == "833 to 2,999"
    boxes, kept_boxes = (len(re.findall("<rect", svg)) for svg in (drawn, kept))
    assert boxes > 100
    assert abs(boxes - kept_boxes) <= 3
