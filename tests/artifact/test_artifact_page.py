"""docs/format.md is what the reader does: fields, words and examples of the page are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import made

from pocketrec.artifact.graph import OPSET
from pocketrec.artifact.recipe import KINDS, POLICIES, VERSION
from pocketrec.artifact.tensors import DTYPES
from pocketrec.hashing import text_id

PAGE = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
RECIPE = PAGE.split("## recipe.json")[1].split("\n## ")[0]


def test_the_page_lists_every_field_and_no_other():
    heads = re.findall(r"^- (.*?):", RECIPE, re.MULTILINE)
    listed = [name for head in heads for name in re.findall(r"`(\w+)`", head)]
    assert sorted(listed) == sorted([*made.recipe(), "files"])


def test_the_page_knows_the_words():
    for word in (*KINDS, *POLICIES):
        assert f"`{word}`" in PAGE
    assert f"dtypes `{' '.join(DTYPES)}`" in PAGE
    assert f"# NAME.pocket, version {VERSION}\n" in PAGE
    assert f"opset {OPSET}" in PAGE


def test_the_examples_of_ids_are_right():
    assert f'`"shoes"` -> {text_id("shoes")}' in PAGE
    assert f'`"68fd1e64"` -> {int("68fd1e64", 16)}' in PAGE
