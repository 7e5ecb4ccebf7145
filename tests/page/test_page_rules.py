"""What is typed means in the page what it means in `prepare`; and the page's files are all shipped."""

from __future__ import annotations

import hashlib
import json
import tomllib

import httpx
import polars as pl
import pytest
from showing import WEB

from pocketrec.data import convert

TYPED = {
    "hex": [
        "0", "ff", "FF", "68fd1e64", "0000000f", "00000000f", "ffffffff", "g", "0xff", " ff", "ff ", "-1", "f_f", "f.f",
    ],
    "integer": [
        "0", "7", "007", "+7", "-0", "-1", " 7", "7 ", "7.0", "1e3", "1_000", "9007199254740993", "4611686018427387903",
        "4611686018427387904", "99999999999999999999", "٣", "true", "+",
    ],
    "text": ["a", " ", "0", "Ω", "雪", "👩‍👩‍👧", "id 5", "5.0", "x" * 64, "é" * 100],
    "dense": [
        "0", "5", "+5", "-0", "05", " 5", "5 ", "1_0", "1e3", "1E+3", ".5", "5.", ".", "e5", "0x10", "nan", "inf",
        "-3.25",
    ],
}  # fmt: skip
READ = """async ([kind, texts]) => {
  const { Refused, read } = await import("/web/values.js");
  return texts.map((text) => {
    try {
      return String(read(kind, text).number);
    } catch (error) {
      if (error instanceof Refused) return null;
      throw error;
    }
  });
}"""


@pytest.fixture(scope="module")
def page(chromium, address):
    """The page's folder, nothing loaded but what a test imports."""
    context = chromium.new_context()
    opened = context.new_page()
    opened.goto(f"{address}healthz")
    yield opened
    context.close()


@pytest.mark.parametrize("kind", ["hex", "integer", "text"])
def test_ids_are_those_of_prepare(page, kind):
    """Bit for bit, refusals included; and a blank is id 0."""
    read = page.evaluate(READ, [kind, [*TYPED[kind], ""]])
    wanted = convert.ids(pl.Series("c", TYPED[kind]), kind)[0].to_list()
    assert [None if each is None else int(each) for each in read] == [*wanted, 0]


def test_dense_values_are_those_of_prepare(page):
    read = page.evaluate(READ, ["dense", [*TYPED["dense"], ""]])
    wanted = convert.dense(pl.Series("d", TYPED["dense"]), integers=False)[0].to_list()
    assert [None if each is None else float(each) for each in read[:-1]] == wanted
    assert read[-1] == "NaN"


def test_sha256_at_every_length_around_its_blocks(page):
    lengths = list(range(131))
    digests = page.evaluate(
        """async (lengths) => {
          const { sha256 } = await import("/web/sha256.js");
          const hex = (word) => (word >>> 0).toString(16).padStart(8, "0");
          const message = (n) => Uint8Array.from({ length: n }, (_, i) => (7 * i + n) % 256);
          return lengths.map((n) => sha256(message(n)).map(hex).join(""));
        }""",
        lengths,
    )
    assert digests == [hashlib.sha256(bytes((7 * i + n) % 256 for i in range(n))).hexdigest() for n in lengths]


def test_json_keeps_every_digit(page):
    said = (
        '{"id": 4611686018427387903, "text": "\\" 4611686018427387903", "p": 0.12345678901234567, "e": 1e-05, "n": -12}'
    )
    read = page.evaluate('async (text) => (await import("/web/exact_json.js")).parse(text)', said)
    assert read == json.loads(said) | {"id": "4611686018427387903"}


def test_a_column_that_an_example_lacks_is_blank(page):
    """Whatever it is called: every object has a `constructor`."""
    inputs = {"dense": ["constructor"], "categorical": [{"name": name, "kind": "text"} for name in ("a", "__proto__")]}
    recipe = {"inputs": inputs, "examples": [{"row": {"a": "x"}, "probability": 0.5}]}
    scored = page.evaluate(
        """async (recipe) => {
          let scored;
          const { checkExamples } = await import("/web/examples.js");
          await checkExamples(recipe, { score: (rows) => ((scored = rows), [0.5]) });
          return scored[0].map((value) => value.json);
        }""",
        recipe,
    )
    assert scored == ["null", '"x"', "null"]


def test_an_older_page_is_not_kept_and_a_pinned_model_is(address):
    """A browser keeps files without a word about it as long as it likes."""
    for file in ("", "web/app.js", "web/style.css"):
        assert httpx.get(address + file).headers["cache-control"] == "no-cache", file
    pin = httpx.get(f"{address}healthz").json()["sha256"]
    assert "immutable" in httpx.get(f"{address}artifact/model.onnx?v={pin}").headers["cache-control"]


def test_every_file_of_the_page_is_shipped():
    patterns = tomllib.loads((WEB.parents[2] / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][
        "pocketrec"
    ]
    shipped = {path for pattern in patterns for path in WEB.parents[1].glob(pattern)}
    files = {path for path in WEB.rglob("*") if path.is_file() and not path.name.startswith(".")}
    assert files
    assert files <= shipped
