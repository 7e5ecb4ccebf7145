"""docs/format.md is enough to score without an ONNX runtime: a scorer written from it says what PyTorch says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import page_scorer
import pytest
import small_dlrm as small

from pocketrec import Full, HashedNets, HashingTrick, Robe
from pocketrec.artifact import read_artifact
from pocketrec.hashing import text_id
from pocketrec.runtime import RowError, parse_rows

PAGE = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## Without an ONNX runtime")[1]


@pytest.mark.parametrize(
    ("policy", "sharing", "bits"),
    [
        *((policy, Robe(chunk_size=4), None) for policy in ("raw", "filtered", "vocabulary", "ranked")),
        ("raw", Robe(chunk_size=3), 8),
        ("filtered", Robe(chunk_size=4, signed=True, align=4), 8),
        ("raw", Robe(chunk_size=8, hash="linear", signed=True), None),
        ("vocabulary", Robe(chunk_size=3, hash="authors"), None),
        ("filtered", HashedNets(), 8),
        ("ranked", HashingTrick(), 8),
        ("vocabulary", HashingTrick(), None),
        ("vocabulary", Full(), None),
    ],
    ids=repr,
)
def test_the_page_is_enough_to_score(tmp_path, policy, sharing, bits):
    ids = small.policy(policy)
    model = small.dlrm(ids, sharing, bits=bits)
    path = small.write(tmp_path / "small.pocket", model, ids)
    dense, raw = small.rows(300)
    np.testing.assert_allclose(
        page_scorer.score(path, dense, raw), small.expected(model, ids, dense, raw), rtol=0, atol=1e-6
    )


def test_a_memory_of_float16_is_named_otherwise(tmp_path):
    ids = small.policy("raw")
    model = small.dlrm(ids)
    memory = model.embeddings.memory
    half = memory.detach().numpy().astype(np.float16)
    memory.data.copy_(memory.new_tensor(half.astype(np.float32)))
    stored = {"embeddings.stored.memory": half, "embeddings.stored.layout": model.embeddings.layout.numpy()}
    path = small.write(
        tmp_path / "half.pocket", model, ids, tensors={"embeddings.memory": None, "embeddings.layout": None} | stored
    )
    dense, raw = small.rows(50)
    np.testing.assert_allclose(
        page_scorer.score(path, dense, raw), small.expected(model, ids, dense, raw), rtol=0, atol=1e-6
    )


def test_the_numbers_of_the_page_are_right():
    told = re.findall(r"^([a-z].*\)) = (\d+)$", SECTION, re.MULTILINE)
    assert len(told) == 6
    for formula, number in told:
        assert int(np.ravel(eval(formula, vars(page_scorer)))[0]) == int(number), formula


def test_values_mean_what_the_page_says(tmp_path):
    """Signs, numbers in a column of text, truths in one of integers; and no white space."""
    ids = small.policy("raw")
    recipe = read_artifact(small.write(tmp_path / "small.pocket", small.dlrm(ids), ids)).recipe
    inputs = recipe.inputs

    def read(name, *values):
        blank = dict.fromkeys(inputs.names)
        dense, raw = parse_rows(recipe, [blank | {name: value} for value in values])
        names, found = (inputs.dense, dense) if name in inputs.dense else (inputs.features, raw)
        return found[:, names.index(name)]

    assert read("price", "-3", "+.5", "1e3", 7).tolist() == [-3, 0.5, 1000, 7]
    assert np.isnan(read("price", "", None)).all()
    assert read("hex_0", "68fd1e64", "FF", "", None, {"id": 5}).tolist() == [1761418852, 255, 0, 0, 5]
    assert read("integer_1", "+5", "-0", 7, True, False, {"id": 5}).tolist() == [5, 0, 7, 1, 0, 5]
    assert read("text_2", "shoes", 12, "12", " ").tolist() == [34506485840564702, *map(text_id, ("12", "12", " "))]
    for name, refused in (
        ("price", (" 1", "1e39", "1e400", "nan", "1_0", "٣")), ("hex_0", ("+1", "123456789", "0x1", 1)),
        ("integer_1", ("-1", " 1", "1.0", 1.0, 2**62)), ("text_2", (True, 1.5, "\ud800")),
    ):  # fmt: skip
        for value in refused:
            with pytest.raises(RowError, match=name):
                read(name, value)
