"""The studies: their rows give the README's tables, and their machinery resumes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

STUDY = Path(__file__).parent.parent / "studies" / "book_crossing"


@pytest.fixture
def study(monkeypatch):
    """The study's folder importable, as when its scripts run."""
    monkeypatch.syspath_prepend(str(STUDY))
    yield
    for name in ("cells", "tables", "trials"):
        sys.modules.pop(name, None)


def test_the_readme_shows_what_the_rows_say(study):
    """Catches a results table edited by hand, or rows committed without it."""
    import tables

    readme = tables.README.read_text()
    assert tables.with_results(readme, tables.read_rows(STUDY / "results.csv")) == readme


def test_cells_are_tuned_with_equal_effort(study):
    import cells

    assert {len(trials) for trials in cells.TUNED.values()} == {6}


def test_missing_trials_are_run_once_and_torn_rows_again(study, tmp_path):
    from trials import Trial, read_rows, run_missing

    from pocketrec.data import prepare, synthesize

    synthesize(tmp_path / "log.tsv", rows=2000, distinct_ids=500, progress=False)
    prepare(tmp_path / "log.tsv", tmp_path / "prepared", progress=False)
    settings = {"sharing": "robe", "compression": 10, "batch_size": 512, "epochs": 1}
    trials = [Trial("tuning", "cell", settings, seed) for seed in (0, 1)]
    about = {"date": "today", "commit": "c", "machine": "m", "versions": "v"}
    results = tmp_path / "results.csv"
    run_missing(trials[:1], tmp_path / "prepared", results, about, jobs=1)
    first = results.read_text()
    results.write_text(first + "today,c,m,v,tuning,ce")
    run_missing(trials, tmp_path / "prepared", results, about, jobs=1)
    rows = read_rows(results)
    assert [row["seed"] for row in rows] == ["0", "1"]
    assert results.read_text().startswith(first)
    assert len(results.read_text().splitlines()) == 3
