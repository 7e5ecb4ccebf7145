"""recipe.json: what is missing, unknown or makes no sense is refused by the name of its field."""

from __future__ import annotations

import json
from typing import Any

import made
import pytest
from sealing import parts, refused, sealed

from pocketrec.artifact.archive import RECIPE


def with_recipe(text: bytes) -> bytes:
    return made.packed(sealed(parts()) | {RECIPE: text})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "not an object"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a": ' * 50_000, "not JSON"),
        (b'{"format": "pocketrec", "format": "other"}', "'format' is told twice"),
        (b'{"format": NaN}', "NaN is not a number"),
        (b'{"format": 1e999}', "1e999 is too large"),
        (b'{"format": ' + b"9" * 10_000 + b"}", "not JSON"),
        (b'{"format": "pocketrec"}', "lacks version"),
        (b'{"format": "other"}', "format is 'other'"),
    ],
)
def test_recipes_that_are_none(text, said):
    assert said in refused(with_recipe(text))


def changed(path: str, value: Any) -> bytes:
    """The good artifact with one field of its recipe changed; `...` removes it."""
    entries = sealed(parts())
    told = json.loads(entries[RECIPE])
    *holders, last = path.split("/")
    here: Any = told
    for name in holders:
        here = here[int(name) if name.isdigit() else name]
    if value is ...:
        del here[last]
    else:
        here[int(last) if last.isdigit() else last] = value
    return made.packed(entries | {RECIPE: json.dumps(told).encode()})


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("version", 2, "recipe.json: version is 2, this pocketrec reads 1: upgrade pocketrec, or export the run again"),
        ("version", True, "version is True"),
        ("hash", 2, "hash is 2, this pocketrec reads 1"),
        ("surprise", 1, "a field 'surprise' that this pocketrec does not know: upgrade it"),
        ("inputs/unit", "x", "inputs has a field 'unit'"),
        ("inputs/dense_transform", "sqrt", "dense_transform must be 'log1p', got 'sqrt'"),
        ("inputs/dense/0", "I1\n", "text of 1 to 200 characters on one line"),
        ("inputs/dense/0", "C1", "two columns of one name"),
        ("inputs/categorical", [], "no categorical column"),
        ("inputs/categorical/0/kind", "float", "one of hex, integer, text, got 'float'"),
        ("inputs/categorical/0/name", "x" * 201, "text of 1 to 200"),
        ("name", "a/b", "a name, not a path"),
        ("name", "C:\\a", "a name, not a path"),
        ("name", "..", "a name, not a path"),
        ("ids/policy", "magic", "one of raw, filtered, vocabulary, ranked"),
        ("ids", {"policy": "filtered"}, "ids lacks probes"),
        ("ids", {"policy": "vocabulary", "rows": [1], "min_count": 2}, "ids.rows has 1 entries for 3"),
        ("ids", {"policy": "vocabulary", "rows": [3, 0, 1], "min_count": 2}, "a table without the row of unknown ids"),
        ("tables", [], "tables is empty"),
        ("tables/0/embedding_dim", 1 << 40, "embedding_dim must be a whole number"),
        ("tables/0/feature", "C9", "one of C1, C2, C3"),
        ("model/dense", 3, "dense must be 2"),
        ("memory/bytes", -1, "bytes must be a whole number"),
        ("graph/opset", 99, "graph.opset is 99, this pocketrec reads 20"),
        ("graph/output", "logit", "output must be 'probability'"),
        ("files/model.onnx/sha256", "0" * 63, "64 hex digits"),
        ("files/model.onnx", ..., "lacks model.onnx"),
        ("examples/0/probability", 1.5, "a number from 0 to 1"),
        ("examples/0/row/C9", 1, "an example has a column unknown, 'C9'"),
        ("examples/0/row/C1", ..., "an example lacks the column 'C1'"),
        ("examples/0/row/C1", [1], "which is no value of a row"),
        ("examples/0/row/I1", 10**30, "which is no value of a row"),
        ("examples", [{"row": {}, "probability": 0.5}] * 9, "a list of at most 8"),
        ("data", ..., "lacks data"),
        ("sizes/full_bytes", [1], "sizes.full_bytes must be a number below 10^15"),
        ("sizes/full_bytes", 10**15, "a number below 10^15"),
        ("metrics/validation/auc", {}, "metrics.validation.auc must be a number"),
        ("made_by/pocketrec", "\x1b]0;owned\x07", "text of 1 to 200 characters on one line"),
        ("made_by/\x1b[2J", "x", "text of 1 to 200 characters on one line"),
        ("sizes/full_bytes", "x" * 201, "text of 1 to 200 characters on one line"),
        ("metrics", [], "metrics is no object"),
    ],
)
def test_recipes_that_are_not_understood(path, value, said):
    assert said in refused(changed(path, value))
