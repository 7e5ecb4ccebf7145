"""The report: what is written, of studies that are done, not done, or none."""

from __future__ import annotations

import csv
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fabricated import FIGURES, FULL, ROBE, write_study

from pocketrec.cli import main


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


def test_what_was_there_at_once_is_not_drawn_as_never(tmp_path):
    """Full tables at a target by their first evaluation: nobody knows how many times the iterations others took."""
    write_study(tmp_path / "s", toml={"targets": ["full-0.001", "0.60"]})
    assert main(["report", str(tmp_path / "s")]) == 0
    told = (tmp_path / "s" / "report.html").read_text()
    assert "To 0.001 below the full tables' AUC" in told or "To 0.001 below the full tables&#39; AUC" in told
    assert "To a validation AUC of 0.6:" not in told


def test_a_file_without_rows_of_a_gpu_is_refused(tmp_path, capsys):
    write_study(tmp_path / "s", (FULL, ROBE))
    other = gpu_rows(tmp_path / "cpu.csv", "lookup")
    for path, words in ((other, "no rows of a DLRM step"), (tmp_path / "absent.csv", "no such file")):
        assert main(["report", str(tmp_path / "s"), "--gpu-rows", str(path)]) == 1
        assert words in capsys.readouterr().err
    assert not (tmp_path / "s" / "report.html").exists()
