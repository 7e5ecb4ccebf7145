"""The report: how its figures and its page look, in a browser too."""

from __future__ import annotations

import re

import pytest
from fabricated import FIGURES

from pocketrec.report.evidence import Evidence, labels
from pocketrec.study import read_study


def test_schemes_are_told_apart_without_colour():
    from pocketrec.report.looks import FULL_MARKER, NAMES, PAPER_MARKER, looks
    from pocketrec.sharing import CODED, SCHEMES

    assert [*NAMES] == [*(SCHEMES | CODED)]
    markers = [look.marker for look in looks([scheme for scheme in SCHEMES if scheme != "full"]).values()]
    assert len({*markers, FULL_MARKER, PAPER_MARKER}) == len(markers) + 2
    assert len(set(looks(list(SCHEMES)).values())) == len(SCHEMES)


def test_cells_are_named_scheme_by_scheme():
    from pocketrec.study import Cell as Compared

    cells = [Compared("robe", 10), Compared("robe", 1000), Compared("tt", 10)]
    assert labels(cells) == "ROBE at 10x and 1,000x, tensor train at 10x"


def test_features_are_ordered_by_what_they_lose(folder):
    from pocketrec.report.figures.features import lost_by_cell, worst_features

    lost = lost_by_cell(Evidence(read_study(folder)))
    assert worst_features(lost)[:3] == ["reader", "book", "title"]
    assert all(cell.scheme != "full" for cell in lost)


def test_a_mean_curve_stands_on_steps_that_all_seeds_have():
    from pocketrec.report.figures.curves import mean_curve
    from pocketrec.study import Curve

    curves = [Curve((10, 20, 30), (0.6, 0.7, 0.8)), Curve((10, 20), (0.62, 0.66))]
    assert [(step, round(mean, 4)) for step, _, mean, _ in mean_curve(curves)] == [(10, 0.61), (20, 0.68)]


@pytest.fixture
def show(folder, chromium):
    """Loads the report on a device of so many CSS pixels; the phone's pixels are twice as fine."""

    def load(width, dark=False):
        phone = width < 600
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, is_mobile=phone, device_scale_factor=2 if phone else 1,
            color_scheme="dark" if dark else "light",
        )  # fmt: skip
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)  # a busy machine takes some
        page.on("request", lambda request: requests.append(request.url))
        page.goto((folder / "report.html").resolve().as_uri())
        return page, requests

    contexts, requests = [], []
    yield load
    for each in contexts:
        each.close()


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, False), (390, True)], ids=["desk", "phone", "dark"])
def test_the_page_in_a_browser(show, tmp_path, width, dark):
    """No sideways scroll, no request, figures that show something, letters large enough, and enough contrast."""
    from PIL import Image

    page, requests = show(width, dark)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert [address for address in requests if not address.startswith(("data:", "file:"))] == []
    assert sum(address.startswith("file:") for address in requests) == 1, "the page itself, no file beside it"
    assert "sans-serif" in page.evaluate("getComputedStyle(document.body).fontFamily"), "the style sheet is read"
    assert _contrast(page) > 7

    page.screenshot(path=tmp_path / "page.png", full_page=True)
    figures = page.evaluate(_FIGURES)
    assert len(figures) == len(FIGURES)
    with Image.open(tmp_path / "page.png") as shot:
        scale = shot.width / width
        for figure in figures:
            assert figure["natural"] > 0, "an image that the browser cannot read"
            assert 10 * 96 / 72 * figure["width"] / figure["natural"] > 9, "letters of 10 points, in pixels of the page"
            box = [scale * figure[side] for side in ("left", "top", "right", "bottom")]
            assert len(shot.crop(tuple(map(round, box))).convert("RGB").getcolors(1 << 24)) > 50, "a blank figure"


def test_wide_tables_scroll_in_their_own_box_on_a_phone(show):
    page, _ = show(390)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    boxes = page.evaluate(_BOXES)
    assert len(boxes) == 3
    assert all(inner > outer and outer <= 390 for inner, outer in boxes)
    assert page.evaluate("document.documentElement.scrollWidth") == 390


_FIGURES = """[...document.querySelectorAll('figure img')].map(image => {
  const box = image.getBoundingClientRect();
  return {natural: image.naturalWidth, width: box.width, left: box.left, right: box.right,
          top: box.top + scrollY, bottom: box.bottom + scrollY};
})"""
_BOXES = "[...document.querySelectorAll('.scroll')].map(box => [box.scrollWidth, box.clientWidth])"


def _contrast(page) -> float:
    """WCAG's contrast of text and background."""
    light = []
    for name in ("color", "backgroundColor"):
        told = page.evaluate(f"getComputedStyle(document.body).{name}")
        channels = [int(number) / 255 for number in re.findall(r"\d+", told)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        light.append(sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True)))
    return (max(light) + 0.05) / (min(light) + 0.05)
