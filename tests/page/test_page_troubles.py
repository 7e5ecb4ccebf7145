"""The page where something is wrong: a value, the library that is missing, weights that are not theirs, a token."""

from __future__ import annotations

import handmade
import pytest
from showing import score_of, served

CLOSE = 1e-5
ROW = handmade.EXAMPLES[0]


def test_a_wrong_value_is_told_at_its_field_and_breaks_nothing(shown):
    before = shown.score()
    for feature, wrong, words in (
        ("price", "12,5", "a finite number"), ("price", "nan", "a finite number"), ("price", "1e39", "a finite number"),
        ("place", "123456789", "at most 8 hex digits"), ("place", "0x1f", "at most 8 hex digits"),
        ("user", "4611686018427387904", "below 2^62"), ("user", "-1", "below 2^62"), ("user", "1.0", "below 2^62"),
    ):  # fmt: skip
        right = shown.field(feature).input_value()
        shown.fill(feature, wrong)
        assert f"{feature} is " in shown.described(feature)
        assert words in shown.described(feature)
        assert shown.field(feature).get_attribute("aria-invalid") == "true"
        assert f"Look at {feature}" in shown.text("#stale")
        assert shown.page.get_by_role("button", name="Ask the server").is_disabled()
        shown.fill(feature, right)
        assert shown.field(feature).get_attribute("aria-invalid") == "false"
        assert not shown.page.locator("#stale").is_visible()
        assert shown.score() == before
    assert not shown.complaints


def test_without_the_library_it_says_what_to_run_and_the_server_scores(tab, address):
    shown = tab(address)
    shown.page.route("**/web/vendor/*", lambda route: route.fulfill(status=404))
    shown.open()
    assert "make web" in shown.text("#state")
    assert shown.text("#latency") == "scored by the server"
    assert shown.score() == pytest.approx(score_of(address, ROW), abs=CLOSE)
    shown.fill("age", "50")
    assert shown.score() == pytest.approx(score_of(address, ROW | {"age": 50}), abs=CLOSE)
    without = score_of(address, ROW | {"age": 50, "user": None})
    assert float(shown.described("user").removesuffix("\u00a0%")) == pytest.approx(100 * without, rel=6e-3)


def test_without_the_server_either_the_last_score_stays_and_the_page_goes_on(tab, artifact):
    with served(artifact) as address:
        shown = tab(address)
        shown.page.route("**/web/vendor/*", lambda route: route.fulfill(status=404))
        shown.open()
        shown.page.route("**/score", lambda route: route.abort())
        shown.fill("age", "50")
        assert "No score: " in shown.text("#stale")
        shown.page.unroute("**/score")
        shown.fill("age", "51")
        assert shown.score() == pytest.approx(score_of(address, ROW | {"age": 51}), abs=CLOSE)


@pytest.mark.usefixtures("runtime_files")
def test_weights_that_score_otherwise_than_at_export_are_not_believed(tab, address, tmp_path):
    from pocketrec.artifact import read_artifact

    other = bytes(read_artifact(handmade.write(tmp_path / "other.pocket", seed=2)).weights)
    shown = tab(address)
    shown.page.route("**/artifact/model.safetensors*", lambda route: route.fulfill(body=other))
    shown.open()
    assert "The server scores, not this browser" in shown.text("#state")
    assert "away from their scores at export" in shown.text("#state")
    assert shown.score() == pytest.approx(score_of(address, ROW), abs=CLOSE)


def test_a_server_with_a_newer_model_is_noticed(shown):
    answer = {"scores": [0.999], "model": "newer"}
    shown.page.route("**/score", lambda route: route.fulfill(json=answer))
    shown.page.get_by_role("button", name="Ask the server").click()
    shown.page.locator("#ask-problem").wait_for()
    assert "the server now scores with newer" in shown.text("#ask-problem")
    shown.page.unroute("**/score")


@pytest.mark.usefixtures("runtime_files")
def test_a_server_with_a_token_asks_for_it(tab, artifact):
    with served(artifact, token="open sesame") as address:
        shown = tab(address)
        shown.page.goto(address)
        shown.page.get_by_text("This server asks for a token").wait_for()
        shown.page.get_by_label("The server's token").fill("wrong")
        shown.page.get_by_role("button", name="Use it").click()
        shown.page.get_by_text("That is not the server's token").wait_for()
        shown.page.get_by_label("The server's token").fill("open sesame")
        shown.page.get_by_role("button", name="Use it").click()
        shown.settle()
        assert "runs in your browser" in shown.text("#state")
        shown.page.get_by_role("button", name="Ask the server").click()
        shown.page.locator("#compared").wait_for()
        assert float(shown.text("#server-score")) == pytest.approx(shown.score(), abs=CLOSE)


@pytest.mark.usefixtures("runtime_files")
def test_links_lead_somewhere_with_a_token_too(tab, artifact):
    """A browser follows them without it: they are fetched with it, and saved."""
    with served(artifact, token="open sesame") as address:
        shown = tab(address)
        shown.page.goto(address)
        shown.page.get_by_label("The server's token").fill("open sesame")
        shown.page.get_by_role("button", name="Use it").click()
        shown.settle()
        for link, name, told in (
            ("recipe", "recipe.json", "handmade"),
            ("OpenAPI description", "openapi.json", "paths"),
        ):
            with shown.page.expect_download() as saved:
                shown.page.get_by_role("link", name=link).click()
            assert saved.value.suggested_filename == name
            assert told in saved.value.path().read_text()
        shown.page.route("**/model", lambda route: route.abort())
        shown.page.get_by_role("link", name="recipe").click()
        shown.page.locator("#link-problem").wait_for()
        assert "recipe.json is not saved" in shown.text("#link-problem")


def test_links_lead_somewhere(shown, address):
    links = shown.page.locator("main a:visible")
    targets = [link.get_attribute("href") for link in links.all()]
    assert targets == ["model", "openapi.json"]
    for target in targets:
        assert shown.page.request.get(address + target).ok


COLUMNS = {
    "price": "constructor", "age": "__proto__", "place": "<b>bold</b>", "user": "it's &amp; a name",
    "title": "toString",
}  # fmt: skip


@pytest.mark.usefixtures("runtime_files")
def test_columns_may_be_called_anything(tab, tmp_path):
    """Also what every JavaScript object has, what HTML and JSON read as their own, and what ends a string."""
    path = handmade.write(tmp_path / "named.pocket", columns=COLUMNS)
    with served(path) as address:
        shown = tab(address).open()
        assert "2 rows of the log score as at export" in shown.text("#state")
        shown.put_row("all blank")
        assert [shown.field(name).input_value() for name in COLUMNS.values()] == [""] * len(COLUMNS)
        assert not shown.page.locator("#stale").is_visible()
        row = dict.fromkeys(COLUMNS.values(), "")
        for name, typed in zip(COLUMNS.values(), ("12.5", "31", "ff", "7", "Über den Fluss"), strict=True):
            shown.fill(name, typed)
            row[name] = typed
            assert shown.score() == pytest.approx(score_of(address, row), abs=CLOSE), name
        shown.page.get_by_role("button", name="Ask the server").click()
        shown.page.locator("#compared").wait_for()
        assert float(shown.text("#server-score")) == pytest.approx(shown.score(), abs=CLOSE)
        assert shown.page.locator("b").count() == 0
        assert not shown.complaints


def test_rows_of_tables_add_up_however_many(tab, tmp_path):
    """Numbers of 16 digits and more come from the recipe as text."""
    with served(handmade.write(tmp_path / "large.pocket", rows=2**60)) as address:
        assert f"{3 * 2**60:,} rows" in tab(address).open().text("#parts")


def test_text_of_the_recipe_stays_text(tab, tmp_path):
    """A model's name cannot put markup into the page."""
    path = handmade.write(tmp_path / "named.pocket", name="<img src=x onerror=alert(1)>")
    with served(path) as address:
        shown = tab(address).open()
        assert shown.text("h1") == "<img src=x onerror=alert(1)>"
        assert shown.page.locator("img").count() == 0
