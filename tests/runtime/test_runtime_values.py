"""Raw values of a request become what `prepare` makes of them in a log; all else is an error that names the place."""

from __future__ import annotations

import math
import random

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, strategies as st

from pocketrec.data import convert
from pocketrec.hashing import ID_LIMIT, text_id
from pocketrec.runtime import RowError
from pocketrec.runtime.fields import Fields

FIELDS = Fields(["x", "y"], [("h", "hex"), ("n", "integer"), ("t", "text"), ("h2", "hex")])
GOOD = {"x": 1, "y": 2.5, "h": "68fd1e64", "n": 7, "t": "shoe", "h2": "ff"}


def one(name, value):
    """The array element that a value of that feature becomes, alone and among plain values, by row and by column."""
    found = []
    for rows in ([GOOD | {name: value}], [GOOD, GOOD | {name: value}]):
        columns = {each: [row[each] for row in rows] for each in GOOD}
        for dense, ids in (FIELDS.parse_rows(rows), FIELDS.parse_columns(columns)):
            place = (*FIELDS.dense, *FIELDS.features).index(name)
            found.append((dense[-1, place] if place < 2 else ids[-1, place - 2]).item())
    assert len({repr(each) for each in found}) == 1
    return found[0]


def by_prepare(converted):
    """The one value of a converted series; None where a rule is broken."""
    (value,) = converted[0].to_list()
    return value


DIGITS = st.text(alphabet="0123456789abcdefABCDEF+-_. eE\tx\n٣", min_size=1, max_size=11)


@given(text=DIGITS)
@example(text="00000000001")
@example(text="ffffffff")
@example(text="1 2 3 4 ")
@example(text="6789\n123")
@example(text="+1a")
def test_hex_digits_are_read_as_prepare_reads_them(text):
    check("h", text, by_prepare(convert.ids(pl.Series([text]), "hex")))


@given(text=st.text(alphabet="0123456789+-_. e٣", min_size=1, max_size=22))
@example(text=str(ID_LIMIT))
@example(text=str(ID_LIMIT - 1))
@example(text="-0")
@example(text="9" * 500)
def test_integers_are_read_as_prepare_reads_them(text):
    check("n", text, by_prepare(convert.ids(pl.Series([text]), "integer")))


@given(text=st.text(min_size=1))
def test_texts_are_hashed_as_prepare_hashes_them(text):
    check("t", text, by_prepare(convert.ids(pl.Series([text]), "text")))


@given(text=st.text(alphabet="0123456789+-_.eEinfaNIty ٣", min_size=1, max_size=12))
@example(text="1e39")
@example(text="-1e400")
@example(text="1e-400")
@example(text="Infinity")
def test_numbers_as_text_are_read_as_prepare_reads_them(text):
    values, rule = convert.dense(pl.Series([text]), integers=False)
    wanted = by_prepare(convert.in_float32(values, rule))
    check("x", text, None if wanted is None else float(np.float32(wanted)))


def check(name, text, wanted):
    if wanted is not None:
        assert one(name, text) == wanted
        return
    with pytest.raises(RowError) as raised:
        one(name, text)
    assert raised.value.feature == name


def test_numbers_blanks_and_ids_themselves():
    assert one("x", -3) == -3
    assert one("y", np.float32(0.1)) == np.float32(0.1)
    assert all(math.isnan(one("x", blank)) for blank in (None, ""))
    assert [one(name, blank) for name in ("h", "n", "t") for blank in (None, "")] == [0] * 6
    assert [one("n", value) for value in (True, False, 0, np.uint8(3), ID_LIMIT - 1)] == [1, 0, 0, 3, ID_LIMIT - 1]
    assert one("t", 12) == text_id("12")
    for name in ("h", "n", "t"):
        assert one(name, {"id": 5}) == 5


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("x", "many", "finite number"),
        ("x", math.nan, "finite number"),
        ("x", -math.inf, "finite number"),
        ("x", 10**400, "finite number"),
        ("x", 3.5e38, "within float32"),
        ("x", [1], "[1]"),
        ("x", True, "finite number"),
        ("x", {"id": 1}, "finite number"),
        ("h", 5, "8 hex digits"),
        ("h", "123456789", "8 hex digits"),
        ("h", ["68fd1e64"] * 10_000, "..."),
        ("h", False, "False"),
        ("h", {"id": -1}, "2^62"),
        ("h", {"id": True}, "True"),
        ("h", {"id": 1, "x": 2}, "8 hex digits"),
        ("n", 1.0, "an integer"),
        ("n", ID_LIMIT, str(ID_LIMIT)),
        ("n", -1, "-1"),
        pytest.param("n", 10**5000, "thousands of digits", id="endless"),
        ("t", "\ud800", "surrogates"),
        ("t", 1.5, "text"),
        ("t", True, "text"),
    ],
)
def test_a_bad_value_is_named_by_row_and_feature(name, value, told):
    rows = [GOOD] * 3 + [GOOD | {name: value}] + [GOOD] * 2
    for parse in (
        lambda: FIELDS.parse_rows(rows),
        lambda: FIELDS.parse_columns({each: [row[each] for row in rows] for each in GOOD}),
    ):
        with pytest.raises(RowError) as raised:
            parse()
        error = raised.value
        assert (error.row, error.feature) == (3, name)
        assert str(error).startswith(f"row 3, feature {name!r}: ")
        assert told in str(error)
        assert len(str(error)) < 300


def test_missing_and_unknown_features():
    short, long = {name: value for name, value in GOOD.items() if name != "n"}, GOOD | {"hh": 1}
    with pytest.raises(RowError, match="row 1, feature 'n': missing") as missing:
        FIELDS.parse_rows([GOOD, short])
    assert (missing.value.row, missing.value.feature) == (1, "n")
    with pytest.raises(RowError, match="row 0, feature 'hh': the model has no such feature: did you mean 'h"):
        FIELDS.parse_rows([long])
    with pytest.raises(RowError, match="row 0, feature 'n': missing"):
        FIELDS.parse_rows([short | {"m": 7}])
    with pytest.raises(RowError) as endless:
        FIELDS.parse_rows([GOOD | {"x" * 1_000_000: 1}])
    assert len(str(endless.value)) < 300
    with pytest.raises(RowError, match="feature 'n': missing"):
        FIELDS.parse_columns({name: [value] for name, value in short.items()})


def test_what_is_no_row_and_no_column():
    for rows in ({"x": 1}, "rows", None):
        with pytest.raises(RowError, match="list of objects"):
            FIELDS.parse_rows(rows)
    with pytest.raises(RowError, match="row 1: a row is an object"):
        FIELDS.parse_rows([GOOD, [1, 2]])
    with pytest.raises(RowError, match="columns are an object"):
        FIELDS.parse_columns([GOOD])
    with pytest.raises(RowError, match="feature 'y': a column is a list"):
        FIELDS.parse_columns({name: value if name == "y" else [value] for name, value in GOOD.items()})
    with pytest.raises(RowError, match="feature 'h': 2 values, 'x' has 1"):
        FIELDS.parse_columns({name: [value] * (2 if name == "h" else 1) for name, value in GOOD.items()})


def test_no_rows_at_all():
    for dense, ids in (FIELDS.parse_rows([]), FIELDS.parse_columns({name: [] for name in GOOD})):
        assert (dense.shape, dense.dtype, ids.shape, ids.dtype) == ((0, 2), np.float32, (0, 4), np.int64)


def test_the_fast_ways_and_the_slow_one_agree():
    """Rows of all forms a value may have, shuffled: whichever way a list takes, each value keeps its place."""
    drawn = random.Random(0)
    forms = {
        "x": [1, 2.5, "3.5", None, ""],
        "y": [0, -1.5],
        "h": ["68fd1e64", "1f", "", None, {"id": 9}],
        "n": [3, "4", None],
        "t": ["a", "ü", ""],
        "h2": ["00000001", "abcdef01"],
    }
    rows = [{name: drawn.choice(values) for name, values in forms.items()} for _ in range(200)]
    dense, ids = FIELDS.parse_rows(rows)
    columns = FIELDS.parse_columns({name: [row[name] for row in rows] for name in forms})
    np.testing.assert_array_equal(dense, columns[0])
    np.testing.assert_array_equal(ids, columns[1])
    for number in range(0, 200, 7):
        alone = FIELDS.parse_rows([rows[number]])
        np.testing.assert_array_equal(alone[0][0], dense[number])
        np.testing.assert_array_equal(alone[1][0], ids[number])
