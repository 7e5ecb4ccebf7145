"""`pocketrec report`: what the page says, claims no more than the rows allow, and shows in a real browser."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import browser
import pytest
from fabricated import BOOK_CROSSING, FULL, Cell, write_study

from pocketrec.cli import main
from pocketrec.report.evidence import Evidence, labels
from pocketrec.report.verdict import verdict
from pocketrec.report.verdict.findings import Quality, Scales, quality, scales
from pocketrec.study import Interval, read_study

FIGURES = ("auc-by-size", "step-speed-up", "iterations", "total-time", "curves", "features")
TARGETS = ["full-0.001", "full-0.01"]
ROBE = Cell("robe", 100, 0.7985, 330, 63.2, 151.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished study and its report."""
    folder = write_study(tmp_path_factory.mktemp("book_crossing"), toml={"targets": TARGETS})
    assert main(["report", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


def told_of(folder, *cells, **options):
    """The verdict on a study of full tables and these cells."""
    return verdict(Evidence(read_study(write_study(folder, (FULL, *cells), **options))))


# What is written


def test_the_page_and_its_figures_are_written(folder, page):
    from PIL import Image

    assert {p.name for p in (folder / "figures").iterdir()} == {f"{f}.{e}" for f in FIGURES for e in ("png", "svg")}
    for name in FIGURES:
        with Image.open(folder / "figures" / f"{name}.png") as picture:
            assert picture.width > 800
            assert len(picture.convert("RGB").getcolors(1 << 20)) > 20, f"{name} is blank"
    assert page.count("data:image/svg+xml;base64,") == len(FIGURES)
    for cell in ("ROBE at 10x", "ROBE at 1,000x", "Hashing trick at 100x", "Full tables"):
        assert f'<th scope="row">{cell}</th>' in page


def test_the_command_prints_the_verdict_and_where_the_page_is(folder, capsys):
    assert main(["report", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "ROBE: no loss to be seen at 10x (up to 0.0023 AUC could hide); a loss beyond noise at 100x (0.0065" in told
    assert str(folder / "report.html") in told


class _Checker(HTMLParser):
    """Notes tags that do not close where they should, and every address that would be fetched."""

    VOID = ("meta", "img", "br", "hr")

    def __init__(self):
        super().__init__()
        self.open, self.wrong, self.addresses, self.headings, self.silent = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        self.addresses += [told[name] for name in ("src", "href", "srcset", "action") if name in told]
        if re.fullmatch(r"h\d", tag):
            self.headings.append(int(tag[1]))
        if tag == "img" and not told.get("alt"):
            self.silent.append(told)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def test_the_page_is_sound_html_that_needs_nothing_else(page):
    checker = _Checker()
    checker.feed(page)
    assert not checker.open
    assert not checker.wrong
    assert not checker.silent, "an image without words for those who do not see it"
    assert all(address.startswith("data:") for address in checker.addresses)
    assert not re.search(r"@import|url\(|<script", page)
    assert checker.headings[0] == 1
    assert checker.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(checker.headings, checker.headings[1:], strict=False)), "a level is skipped"


def test_every_run_is_listed(folder, page):
    with open(folder / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    table = page.split("Every row of results.csv.")[1].split("</table>")[0]
    assert table.count('<th scope="row">') == len(rows) == 35
    for text in ("AMD EPYC, 2 cores", "345990d", "0.1.0", "2026-11-25", "tuning", "final"):
        assert f">{text}</td>" in table


def test_text_from_files_stays_text(tmp_path):
    """A row cannot put markup into the page."""
    write_study(tmp_path / "s", (FULL, ROBE), machine="<script>alert(1)</script>")
    assert main(["report", str(tmp_path / "s")]) == 0
    page = (tmp_path / "s" / "report.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_same_rows_give_the_same_files(folder, page):
    before = {path.name: path.read_bytes() for path in (folder / "figures").glob("*.svg")}
    assert main(["report", str(folder)]) == 0
    assert {path.name: path.read_bytes() for path in (folder / "figures").glob("*.svg")} == before
    assert (folder / "report.html").read_text(encoding="utf-8") == page


# The verdict


@pytest.mark.parametrize(
    ("low", "high", "kind"),
    [(-0.007, -0.006, Quality.LOSS), (0.001, 0.002, Quality.GAIN), (-0.002, 0.001, Quality.UNSEEN),
     (0.0, 0.002, Quality.UNSEEN), (-0.002, 0.0, Quality.UNSEEN), (-0.006, 0.006, Quality.UNCLEAR)],
)  # fmt: skip
def test_a_difference_is_claimed_only_where_the_interval_leaves_out_zero(low, high, kind):
    assert quality(Interval((low + high) / 2, (high - low) / 2, 3)) is kind
    assert quality(Interval((low + high) / 2, None, 1)) is Quality.UNKNOWN, "one seed tells nothing"
    assert quality(None) is Quality.UNKNOWN


def test_a_loss_is_told_with_its_interval_and_seeds(tmp_path):
    """noise 0.0004 makes +- 0.0009; the seeds' common effect, three times as large, cancels in pairs."""
    told = told_of(tmp_path, ROBE)
    assert (
        "(475 kB stored) loses 0.0065 ± 0.0009 test AUC: more than noise over 3 seeds." in told.findings["ROBE at 100x"]
    )
    assert told.headline[0] == "ROBE: a loss beyond noise at 100x (0.0065 AUC)."


def test_a_difference_within_noise_is_no_claim_of_equality(tmp_path):
    told = told_of(tmp_path, Cell("robe", 10, 0.8047, 160, 64.1, 170.0, noise=0.0009))
    assert "could hide a loss of up to 0.0023" in told.findings["ROBE at 10x"][0]
    assert told.headline[0] == "ROBE: no loss to be seen at 10x (up to 0.0023 AUC could hide)."


def test_noise_that_could_hide_a_real_loss_is_not_called_no_loss(tmp_path):
    told = told_of(tmp_path, Cell("robe", 10, 0.8030, 160, 64.1, 170.0, noise=0.005))
    assert told.headline[0] == "ROBE: too noisy to tell at 10x (up to 0.0134 AUC could hide)."


def test_a_gain_is_told_too(tmp_path):
    told = told_of(tmp_path, replace(ROBE, auc=0.8100))
    assert "gains 0.0050 ± 0.0009" in told.findings["ROBE at 100x"][0]
    assert "better than full tables beyond noise at 100x (0.0050 AUC)" in told.headline[0]


def test_one_seed_is_never_a_verdict(tmp_path):
    told = told_of(tmp_path, ROBE, seeds=1)
    assert told.headline[0] == "ROBE: too few seeds to judge at 100x."
    assert "cannot tell that from noise" in told.findings["ROBE at 100x"][0]
    assert not any("beyond noise" in sentence for sentence in told.headline)
    assert any("one seed only" in sentence for sentence in told.caveats)


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"step_ms": 30.0}, Scales.SOONER, "ROBE at 10x trained sooner than full tables"),
        ({"step_ms": 60.8}, Scales.LEVEL, "ROBE at 10x took about as long as full tables"),
        ({"step_ms": 90.0}, Scales.LATER, "ROBE at 10x took longer than full tables"),
        ({"auc": 0.70}, Scales.UNREACHED, "no compressed model got there"),
    ],
)
def test_the_scales_tip_by_iterations_and_step_time(tmp_path, changes, kind, words):
    """A twin of full tables: as many iterations, so that step time alone decides."""
    cells = FULL, replace(FULL, scheme="robe", compression=10, **changes)
    evidence = Evidence(read_study(write_study(tmp_path, cells)))
    assert scales(evidence, evidence.measured[0], evidence.study.targets[0]) is kind
    assert words in verdict(evidence).headline[-1]


def test_the_scales_tip_only_if_every_seed_says_so(tmp_path):
    """The median takes a quarter longer, one seed of three is faster than full tables' own."""
    cell = replace(FULL, scheme="robe", compression=10, noise=0.0009)
    evidence = Evidence(read_study(write_study(tmp_path, (FULL, cell))))
    (reached,) = evidence.measured[0].iterations.values()
    assert reached.total_time_ratio == 1.25
    assert scales(evidence, evidence.measured[0], evidence.study.targets[0]) is Scales.LEVEL


def test_without_step_times_nothing_is_said_about_time(tmp_path):
    told = told_of(tmp_path, ROBE, timing=False, toml={"targets": ["full-0.01"]})
    assert "which trains sooner is not known, since step time was not measured" in told.headline[-1]
    assert any("Step time was not measured" in sentence for sentence in told.caveats)
    assert not any("training time" in sentence for sentence in told.findings["ROBE at 100x"])


def test_a_target_that_some_seeds_reach_says_how_many(tmp_path):
    told = told_of(tmp_path, BOOK_CROSSING[1], BOOK_CROSSING[2], toml={"targets": TARGETS})
    assert "2 of 3 seeds got there" in told.findings["ROBE at 10x"][1]
    assert "In its run it does not get within 0.001 (0 of 3 seeds did)." in told.findings["ROBE at 100x"]
    assert (
        "Gets within 0.01 after 4.6x (4.4x to 4.8x over seeds) the iterations, 4.78x the training time."
        in (told.findings["ROBE at 100x"])
    )


CAVEATS = {
    "synthetic": ({"toml": {"data": "logs/criteo-synth/prepared"}}, "clicks are synthetic"),
    "unfinished": (
        {"toml": {"schemes": ["robe"], "compressions": [100, 1000], "seeds": 3}},
        r"not finished\. Still to come: ROBE at 1,000x \(0 of 3 seeds\)",
    ),
    "edited": ({"commit": "345990d+"}, r"differs from its commit \(marked \+\)"),
}


@pytest.mark.parametrize("name", CAVEATS)
def test_a_caveat_is_told_where_it_applies_and_nowhere_else(tmp_path, name):
    options, words = CAVEATS[name]
    assert any(re.search(words, sentence) for sentence in told_of(tmp_path / "yes", ROBE, **options).caveats)
    assert not any(re.search(words, sentence) for sentence in told_of(tmp_path / "no", ROBE).caveats)


ROW_CAVEATS = {
    "uneven tuning": (lambda rows: rows.pop(0), "full tables were tuned with 1 trial, ROBE at 100x with 2"),
    "two machines": (lambda rows: rows[0].update(machine="Xeon, 8 cores"), "from 2 machines: AMD EPYC.*; Xeon"),
    "two versions": (lambda rows: rows[0].update(version="0.2.0"), r"2 versions of pocketrec: 0\.1\.0; 0\.2\.0"),
    "two logs": (lambda rows: rows[0].update(data="other"), "2 different logs"),
    "hopeless": (
        lambda rows: rows[-4].update(stopped="hopeless"),
        "Given up early while tuning: 1 run of ROBE at 100x",
    ),
    "other ways": (
        lambda rows: [row.update(way="adam-3") for row in rows[-3:]],
        "full tables by adagrad-1, ROBE at 100x by adam-3",
    ),
    "off budget": (
        lambda rows: [row.update(reached_compression="80") for row in rows[-3:]],
        "ROBE at 100x came out at 80x",
    ),
    "id map": (
        lambda rows: [row.update(id_map_bytes="2630168") for row in rows[-3:]],
        "ROBE at 100x 2.63 MB beside 475 kB",
    ),
    "some failed": (
        lambda rows: rows[-1].update(error="diverged: the loss is not a number"),
        r"some runs failed.*flatters it \(diverged",
    ),
}


@pytest.mark.parametrize("name", ROW_CAVEATS)
def test_a_caveat_follows_from_the_rows(tmp_path, name):
    change, words = ROW_CAVEATS[name]
    write_study(tmp_path, (FULL, ROBE))
    assert not any(re.search(words, sentence) for sentence in verdict(Evidence(read_study(tmp_path))).caveats)
    with open(tmp_path / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    change(rows)
    with open(tmp_path / "results.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    assert any(re.search(words, sentence) for sentence in verdict(Evidence(read_study(tmp_path))).caveats)


def test_more_epochs_are_a_caveat_only_where_none_were_tried(tmp_path):
    write_study(tmp_path, (FULL, ROBE))
    words = "never trained longer: full tables, ROBE at 100x"
    assert any(words in sentence for sentence in verdict(Evidence(read_study(tmp_path))).caveats)
    results = tmp_path / "results.csv"
    results.write_text(results.read_text().replace(",1350,1350,", ",2700,1350,", 1))
    told = verdict(Evidence(read_study(tmp_path))).caveats
    assert any("never trained longer: ROBE at 100x" in sentence for sentence in told)


def test_a_cell_that_cannot_be_is_told_and_not_drawn(tmp_path):
    told = told_of(tmp_path, ROBE, replace(ROBE, compression=1e6, error="unreachable: ends near 5e+05x"))
    assert told.findings["ROBE at 1,000,000x"] == ["has no result: unreachable: ends near 5e+05x."]
    assert any("ROBE at 1,000,000x has no numbers" in sentence for sentence in told.caveats)
    assert "1,000,000x" not in told.headline[0]
    assert main(["report", str(tmp_path)]) == 0


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("AMD EPYC, 2 cores", "Xeon, 8 cores", "another machine than the runs: Xeon, 8 cores"),
        ("quiet", "disturbed: waited 31.0% of the time", "rough: other work ran beside them (disturbed: waited 31.0%"),
    ],
    ids=["elsewhere", "disturbed"],
)
def test_step_times_that_do_not_stand_for_much_are_told(tmp_path, before, after, words):
    write_study(tmp_path, (FULL, ROBE))
    timing = tmp_path / "timing.csv"
    assert not any(words in sentence for sentence in verdict(Evidence(read_study(tmp_path))).caveats)
    timing.write_text(timing.read_text().replace(before, after))
    assert any(words in sentence for sentence in verdict(Evidence(read_study(tmp_path))).caveats)


# Studies that are not done, and what is no study


@pytest.mark.parametrize(
    ("cells", "words"),
    [((), "No compressed model has finished yet"), ((FULL,), "No compressed model has finished yet"),
     ((ROBE,), "Full tables have not finished yet"), ((FULL, ROBE), "a loss beyond noise at 100x")],
    ids=["nothing", "full only", "compressed only", "both"],
)  # fmt: skip
def test_an_unfinished_study_gets_a_report_of_what_there_is(tmp_path, capsys, cells, words):
    write_study(tmp_path, (FULL, ROBE), timing=False, features=False, toml={"seeds": 3})
    if len(cells) < 2:
        lines = (tmp_path / "results.csv").read_text().splitlines(keepends=True)
        kept = [line for line in lines[1:] if any(f",{cell.scheme}," in line for cell in cells)]
        (tmp_path / "results.csv").write_text(lines[0] + "".join(kept))
    assert main(["report", str(tmp_path)]) == 0
    assert words in capsys.readouterr().out
    page = (tmp_path / "report.html").read_text()
    assert "How fast a step is (step time was not measured)" in page
    assert "features were not measured" in page


def test_a_torn_last_line_is_left_out(tmp_path):
    write_study(tmp_path, (FULL, ROBE))
    with open(tmp_path / "results.csv", "a") as file:
        file.write("2026-11-25,0.1.0,34599")
    assert main(["report", str(tmp_path)]) == 0
    assert "Every run (10)" in (tmp_path / "report.html").read_text()


def test_a_folder_that_is_no_study_is_refused(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 1
    assert "not a study folder" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "absent")]) == 1
    assert not any(tmp_path.iterdir()), "nothing is written"


def test_without_matplotlib_it_says_what_to_install(tmp_path, capsys, monkeypatch):
    write_study(tmp_path, (FULL, ROBE))
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    assert main(["report", str(tmp_path)]) == 2
    assert "pip install 'pocketrec[plot]'" in capsys.readouterr().err


# Rows of a GPU


def gpu_rows(path: Path, benchmark: str = "gpu DLRM step: memory of 10 MB / tables on card") -> Path:
    columns = "date,commit,machine,versions,benchmark,shape,backend,unit,min,median,max,conditions"
    row = f'2026-11-24,abc,"H200, 16 cores",v,{benchmark},"terabyte preset, B=2048",cuda,ratio,0.31,0.33,0.36,'
    path.write_text(f"{columns}\n{row}\n")
    return path


def test_rows_of_a_gpu_have_a_section(tmp_path):
    write_study(tmp_path / "s", (FULL, ROBE))
    assert main(["report", str(tmp_path / "s"), "--gpu-rows", str(gpu_rows(tmp_path / "gpu.csv"))]) == 0
    page = (tmp_path / "s" / "report.html").read_text()
    section = page.split("On a GPU")[1].split("</section>")[0]
    for text in ("H200, 16 cores", "0.33", "0.31 to 0.36", "nothing about quality"):
        assert text in section


def test_a_file_without_rows_of_a_gpu_is_refused(tmp_path, capsys):
    write_study(tmp_path / "s", (FULL, ROBE))
    other = gpu_rows(tmp_path / "cpu.csv", "lookup")
    for path, words in ((other, "no rows of a DLRM step"), (tmp_path / "absent.csv", "no such file")):
        assert main(["report", str(tmp_path / "s"), "--gpu-rows", str(path)]) == 1
        assert words in capsys.readouterr().err
    assert not (tmp_path / "s" / "report.html").exists()


# How it looks


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


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    if browser.find() is None:
        pytest.skip(f"no {' or '.join(browser.NAMES)} on this machine: apt-get install chromium")
    with browser.Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, False), (390, True)], ids=["desk", "phone", "dark"])
def test_the_page_in_a_browser(folder, chromium, tmp_path, width, dark):
    """No sideways scroll, no request, figures that show something, letters large enough, and enough contrast."""
    from PIL import Image

    chromium.show(folder / "report.html", width, dark=dark)
    assert chromium.evaluate("document.documentElement.scrollWidth") == width
    assert [address for address in chromium.requests if not address.startswith(("data:", "file:"))] == []
    assert sum(address.startswith("file:") for address in chromium.requests) == 1, "the page itself, no file beside it"
    assert "sans-serif" in chromium.evaluate("getComputedStyle(document.body).fontFamily"), "the style sheet is read"
    assert _contrast(chromium) > 7

    chromium.photograph(tmp_path / "page.png")
    figures = json.loads(chromium.evaluate(_FIGURES))
    assert len(figures) == len(FIGURES)
    with Image.open(tmp_path / "page.png") as shot:
        scale = shot.width / width
        for figure in figures:
            assert figure["natural"] > 0, "an image that the browser cannot read"
            assert 10 * 96 / 72 * figure["width"] / figure["natural"] > 9, "letters of 10 points, in pixels of the page"
            box = [scale * figure[side] for side in ("left", "top", "right", "bottom")]
            assert len(shot.crop(tuple(map(round, box))).convert("RGB").getcolors(1 << 24)) > 50, "a blank figure"


def test_wide_tables_scroll_in_their_own_box_on_a_phone(folder, chromium):
    chromium.show(folder / "report.html", 390)
    chromium.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    boxes = json.loads(chromium.evaluate(_BOXES))
    assert len(boxes) == 3
    assert all(inner > outer and outer <= 390 for inner, outer in boxes)
    assert chromium.evaluate("document.documentElement.scrollWidth") == 390


_FIGURES = """JSON.stringify([...document.querySelectorAll('figure img')].map(image => {
  const box = image.getBoundingClientRect();
  return {natural: image.naturalWidth, width: box.width, left: box.left, right: box.right,
          top: box.top + scrollY, bottom: box.bottom + scrollY};
}))"""
_BOXES = "JSON.stringify([...document.querySelectorAll('.scroll')].map(box => [box.scrollWidth, box.clientWidth]))"


def _contrast(chromium) -> float:
    """WCAG's contrast of text and background."""
    light = []
    for name in ("color", "backgroundColor"):
        told = chromium.evaluate(f"getComputedStyle(document.body).{name}")
        channels = [int(number) / 255 for number in re.findall(r"\d+", told)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        light.append(sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True)))
    return (max(light) + 0.05) / (min(light) + 0.05)
