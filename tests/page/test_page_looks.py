"""The page on a desk and on a phone, by day and by night, by keyboard."""

from __future__ import annotations

import re

import pytest
from showing import WEB


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (320, False), (320, True)], ids=["desk", "phone", "dark"])
def test_it_fits_and_can_be_read(shown, width, dark):
    """No sideways scroll; letters of 12 pixels and more; fields that a finger meets."""
    shown.page.set_viewport_size({"width": width, "height": 800})
    shown.page.emulate_media(color_scheme="dark" if dark else "light")
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = shown.page.evaluate(
        """[...document.querySelectorAll("body *")].filter((e) => e.innerText && e.checkVisibility())
           .map((e) => parseFloat(getComputedStyle(e).fontSize))"""
    )
    assert min(sizes) >= 12
    for box in shown.page.locator("button, input").all():
        assert not box.is_visible() or box.bounding_box()["height"] >= 34
    inks = shown.page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    assert (_luminance(*map(int, re.findall(r"\d+", inks[0]))) > 0.5) == dark


def _luminance(*rgb: int) -> float:
    """WCAG 2's relative luminance."""
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_colours_stand_out():
    """WCAG AA: 4.5 to 1 for text, 3 to 1 for edges and bars, in both schemes."""
    css = (WEB / "style.css").read_text()
    for scheme in re.findall(r":root \{(.*?)\}", css, re.DOTALL):
        light = {name: _luminance(*bytes.fromhex(value)) for name, value in re.findall(r"--(\w+): #(\w{6});", scheme)}
        for one, other, least in (
            ("ink", "paper", 4.5), ("ink", "raised", 4.5), ("ink", "line", 4.5), ("soft", "paper", 4.5),
            ("warn", "paper", 4.5), ("accent", "paper", 4.5), ("edge", "paper", 3), ("accent", "line", 3),
        ):  # fmt: skip
            bright, dim = sorted((light[one], light[other]), reverse=True)
            assert (bright + 0.05) / (dim + 0.05) >= least, (one, other)


def test_it_works_by_keyboard_alone(shown, address):
    """From the top: rows of the log, then fields, then the server; every field has a label, and Enter sends nothing."""
    shown.page.reload()
    shown.settle()
    reached = []
    for _ in range(9):
        shown.page.keyboard.press("Tab")
        reached.append(
            shown.page.evaluate("document.activeElement.labels?.[0]?.innerText ?? document.activeElement.innerText")
        )
    assert reached[:3] == ["1", "2", "all blank"]
    assert [each.split()[0] for each in reached[3:8]] == ["price", "age", "place", "user", "title"]
    assert reached[8] == "Ask the server"
    for key in ("End", "Enter", "2"):
        shown.field("age").press(key)
    shown.settle()
    assert shown.field("age").input_value() == "312"
    assert shown.page.url == address


def test_the_score_is_announced_once_typing_rests(shown):
    shown.fill("age", "99")
    told = f"Score {shown.text('#score')}"
    shown.page.locator("[role=status]", has_text=told).wait_for(state="attached")
