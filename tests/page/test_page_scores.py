"""The page scores in the browser as the server does: loaded, edited, blanked one by one, compared."""

from __future__ import annotations

import handmade
import numpy as np
import pytest
from showing import score_of

from pocketrec.hashing import text_id

CLOSE = 1e-5
ROW = handmade.EXAMPLES[0]


def by_hand(row):
    """The score of a row whose title is an id, by the package's own hash."""
    dense, ids = handmade.raw(row)
    return float(handmade.probability(handmade.weights(1), np.array([dense]), np.array([ids]))[0])


def test_the_first_row_is_scored_in_the_browser_and_nothing_comes_from_elsewhere(shown, address):
    """Ids up to 2^62 whole, the hash in wasm, no request beyond this server, nothing said in the console."""
    assert "runs in your browser" in shown.text("#state")
    assert "2 rows of the log score as at export" in shown.text("#state")
    assert shown.score() == pytest.approx(by_hand(ROW), abs=CLOSE)
    assert all(request.startswith((address, "data:")) for request in shown.requests)
    assert any("artifact/model.safetensors?v=" in request for request in shown.requests), (
        "not pinned to the recipe's model"
    )
    assert f"{address}score" not in shown.requests, "scored by the server"
    assert not shown.complaints


def test_every_edit_is_scored_as_the_server_scores_it(shown, address):
    row = dict(ROW)
    for feature, text in (
        ("price", "1e3"), ("price", "-4.25"), ("price", "+.5"), ("price", ""), ("age", "3.4e38"), ("place", "DEADBEEF"),
        ("place", "0"), ("place", ""), ("user", "4611686018427387903"), ("user", "+007"), ("user", ""),
        ("title", "Ein längerer Titel, der keine 64 Byte hätte, ginge er nicht so weiter: 雪"), ("title", " "),
        ("title", ""),
    ):  # fmt: skip
        shown.fill(feature, text)
        row[feature] = text
        assert shown.score() == pytest.approx(score_of(address, row), abs=CLOSE), (feature, text)
    assert not shown.complaints


def test_it_shows_the_score_without_each_feature(shown):
    whole = by_hand(ROW)
    for feature in ROW:
        without = by_hand(ROW | {feature: None})
        assert float(shown.described(feature).removesuffix("\u00a0%")) == pytest.approx(100 * without, rel=6e-3)
        rises = shown.page.locator(".feature", has=shown.field(feature)).locator(".change.rises").count()
        assert rises == (without >= whole), feature
    shown.fill("user", "")
    assert shown.described("user") == "", "a blank feature has nothing to lose"
    assert shown.described("age").endswith("\u00a0%")


def test_rows_of_the_log_are_put_by_their_buttons(shown):
    shown.put_row("2")
    assert [shown.field(feature).input_value() for feature in ROW] == ["", "7", "ff", "12", ""]
    assert shown.score() == pytest.approx(by_hand(handmade.EXAMPLES[1]), abs=CLOSE)
    shown.put_row("all blank")
    assert shown.score() == pytest.approx(by_hand(dict.fromkeys(ROW)), abs=CLOSE)


def test_an_id_whose_text_is_unknown_stays_until_it_is_typed_over(shown):
    title = shown.field("title")
    assert title.input_value() == f"id {handmade.TITLE_ID}"
    title.focus()
    shown.page.keyboard.type("Über den Fluss")  # the text of that very id
    shown.settle()
    assert title.input_value() == "Über den Fluss"
    assert text_id("Über den Fluss") == handmade.TITLE_ID
    assert shown.score() == pytest.approx(by_hand(ROW), abs=CLOSE)


def test_the_server_is_asked_for_the_same_row(shown, address):
    """Raw ids go to the server by id, long integers whole."""
    shown.page.get_by_role("button", name="Ask the server").click()
    shown.page.locator("#compared").wait_for()
    here, there = float(shown.text("#here-score")), float(shown.text("#server-score"))
    assert here == pytest.approx(shown.score(), abs=1e-7)
    assert there == pytest.approx(score_of(address, ROW), abs=1e-7)
    assert here == pytest.approx(there, abs=CLOSE)
    assert not shown.page.locator("#ask-problem").is_visible()
    shown.fill("age", "5")
    assert not shown.page.locator("#compared").is_visible(), "said of another row"
    assert not shown.complaints


def test_typing_faster_than_scoring_ends_with_the_last_row(shown, address):
    shown.field("age").press_sequentially("0123456789")
    shown.settle()
    assert shown.score() == pytest.approx(score_of(address, ROW | {"age": shown.field("age").input_value()}), abs=CLOSE)


def test_the_latency_is_shown(shown):
    told = shown.text("#latency")
    assert told.endswith("\u00a0ms a row, in your browser")
    assert float(told.split()[0]) > 0
