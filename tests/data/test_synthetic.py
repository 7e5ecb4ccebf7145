"""The synthetic twin: reproducible, of the promised shape, with the promised best AUC."""

import gzip

import numpy as np
import pytest

from pocketrec.data import open_log, prepare, synthesize
from pocketrec.data.synthetic import SyntheticLog
from pocketrec.errors import DataError, UsageError


def auc(scores, labels):
    """The rank statistic, ties counted half."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positive = int(labels.sum())
    return (ranks[labels == 1].sum() - positive * (positive + 1) / 2) / (positive * (len(labels) - positive))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(report, folder prepared from it), 70,000 rows: three blocks."""
    folder = tmp_path_factory.mktemp("synth")
    report = synthesize(folder / "a.tsv", rows=70_000, distinct_ids=20_000, seed=7, progress=False)
    prepare(folder / "a.tsv", folder / "out", split="1/0/0", progress=False)
    return report, folder


def test_report_tells_the_truth(made):
    report, folder = made
    log = open_log(folder / "out")
    dense, ids, labels = next(iter(log.batches("train", log.raw_ids(), 70_000)))
    planted = SyntheticLog(7, 70_000, 20_000, 0.25).model
    logits = planted.logit(dense.double().numpy(), ids.numpy())
    assert report.rows == 70_000
    assert report.click_rate == pytest.approx(float(labels.mean()), abs=1e-6)
    assert 0.23 < report.click_rate < 0.27
    assert report.best_auc == pytest.approx(auc(logits, labels.numpy()), abs=2e-5)
    assert report.expected_auc == pytest.approx(report.best_auc, abs=0.01)
    assert 0.75 < report.best_auc < 0.9
    counted = sum(int((kept != 0).sum()) for kept in log.kept_ids(1))
    assert report.distinct_ids == counted
    assert 0.9 < counted / 20_000 < 1.1


def test_tails_are_heavy_and_ids_matter(made):
    _, folder = made
    counts = np.load(folder / "out" / "vocabulary_counts.npy")
    assert np.median(counts) < 10
    assert counts.max() > 10_000
    log = open_log(folder / "out")
    dense, _, labels = next(iter(log.batches("train", log.raw_ids(), 70_000)))
    planted = SyntheticLog(7, 70_000, 20_000, 0.25).model
    no_ids = (dense.double().numpy() - 2.0) @ planted._slopes
    assert auc(no_ids, labels.numpy()) < 0.65


def test_same_seed_same_bytes(tmp_path):
    for name, seed in (("a.tsv", 1), ("b.tsv", 1), ("c.tsv", 2), ("d.tsv.gz", 1), ("e.tsv.gz", 1)):
        synthesize(tmp_path / name, rows=2000, distinct_ids=500, seed=seed, progress=False)
    a, b, c, d, e = (path.read_bytes() for path in sorted(tmp_path.iterdir()))
    assert a == b != c
    assert d == e
    assert gzip.decompress(d) == a
    assert a.count(b"\n") == 2000


def test_bad_arguments(tmp_path):
    seeds = ({"seed": -1}, {"seed": 1 << 62})
    for wrong in ({"rows": 0}, {"distinct_ids": 10}, {"distinct_ids": 10**9}, {"click_rate": 1.5}, *seeds):
        with pytest.raises(UsageError, match="got"):
            synthesize(tmp_path / "a.tsv", **({"rows": 10} | wrong), progress=False)
    (tmp_path / "a.tsv").write_text("mine")
    with pytest.raises(DataError, match="exists"):
        synthesize(tmp_path / "a.tsv", rows=10, progress=False)
