"""The real logs beside the repository, where they are present."""

from pathlib import Path

import pytest

from pocketrec.data import prepare

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def real(name):
    if not (DATA / name).exists():
        pytest.skip(f"no ../shared/data/{name} on this machine")
    return DATA / name


def test_criteo(tmp_path):
    manifest = prepare(real("criteo_10k.tsv"), tmp_path / "out", progress=False)
    assert manifest.rows == {"train": 8000, "validation": 999, "test": 999}
    assert manifest.cardinalities[:3] == (157, 372, 4535)


def test_book_crossing(tmp_path):
    manifest = prepare(real("book_crossing.tsv.gz"), tmp_path / "out", progress=False)
    assert manifest.rows == {"train": 919824, "validation": 114978, "test": 114978}
    # About 329,000 rows with one out-of-vocabulary row per column, says the data's README.
    assert sum(manifest.kept) == pytest.approx(329_000, rel=0.01)
