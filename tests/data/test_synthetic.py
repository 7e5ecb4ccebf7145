"""The synthetic twin: reproducible, of the promised shape, with the promised best AUC."""

import gzip
import hashlib

import numpy as np
import pytest

from pocketrec.cli import main
from pocketrec.data import open_log, prepare, synthesize
from pocketrec.data.presets import PRESETS
from pocketrec.data.synthetic_log import SyntheticLog, blank_shares, columns_rng
from pocketrec.data.tails import Population, column_sizes
from pocketrec.errors import DataError, UsageError


def auc(scores, labels):
    """The rank statistic, ties counted half."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positive = int(labels.sum())
    return (ranks[labels == 1].sum() - positive * (positive + 1) / 2) / (positive * (len(labels) - positive))


def planted_model():
    """Of the log that `made` writes."""
    populations = [Population.of(feature, n, 70_000) for feature, n in enumerate(column_sizes(20_000))]
    return SyntheticLog(7, populations, 0.25).model


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
    logits = planted_model().logit(dense.double().numpy(), ids.numpy())
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
    no_ids = (dense.double().numpy() - 2.0) @ planted_model()._slopes
    assert auc(no_ids, labels.numpy()) < 0.65


def test_same_seed_same_bytes(tmp_path):
    for name, seed in (("a.tsv", 1), ("b.tsv", 1), ("c.tsv", 2), ("d.tsv.gz", 1), ("e.tsv.gz", 1)):
        synthesize(tmp_path / name, rows=2000, distinct_ids=500, seed=seed, progress=False)
    a, b, c, d, e = (path.read_bytes() for path in sorted(tmp_path.iterdir()))
    assert a == b != c
    assert d == e
    assert gzip.decompress(d) == a
    assert a.count(b"\n") == 2000


def test_the_bytes_of_a_seed_are_frozen(tmp_path):
    """Studies name a log by its arguments."""
    synthesize(tmp_path / "a.tsv", rows=200, distinct_ids=500, seed=7, progress=False)
    assert hashlib.sha256((tmp_path / "a.tsv").read_bytes()).hexdigest().startswith("ff40fde9ed0947d198a1b0823e2be4d7")


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_preset_shows_the_real_logs_values_in_as_many_rows(name, seed):
    preset, filled = PRESETS[name], 1 - blank_shares(columns_rng(seed))
    for population, distinct, share in zip(preset.populations(1, filled), preset.cardinalities, filled, strict=True):
        assert population.expected_distinct(preset.rows * share) == pytest.approx(distinct, abs=1, rel=1e-6)
        assert distinct <= population.size <= 4 * distinct


def test_a_tenth_of_a_preset_shows_a_tenth_in_a_tenth_of_the_rows():
    preset, filled = PRESETS["criteo-kaggle"], np.ones(26)
    tenth = preset.populations(0.1, filled)
    for population, distinct in zip(tenth, preset.cardinalities, strict=True):
        seen = population.expected_distinct(preset.rows / 10)
        assert seen == pytest.approx(min(distinct, max(1000, distinct / 10)), abs=1)


def test_the_twin_of_a_public_log(tmp_path):
    """What is said to exist and to occur, counted in the file; a third of the rows shows more than a third."""
    report = synthesize(tmp_path / "a.tsv", rows=45_000, preset="criteo-kaggle", scale=0.001, progress=False)
    columns = np.array([line.split("\t")[14:] for line in (tmp_path / "a.tsv").read_text().splitlines()])
    assert report.distinct_ids == sum(len(np.setdiff1d(column, [""])) for column in columns.T)
    populations = PRESETS["criteo-kaggle"].populations(0.001, 1 - blank_shares(columns_rng(0)))
    shares = 1 - blank_shares(columns_rng(0))
    expected = sum(p.expected_distinct(45_000 * share) for p, share in zip(populations, shares, strict=True))
    assert report.distinct_ids == pytest.approx(expected, rel=0.01)
    assert report.existing_ids == sum(p.size for p in populations)
    assert report.click_rate == pytest.approx(0.256, abs=0.01)
    fewer = synthesize(tmp_path / "b.tsv", rows=15_000, preset="criteo-kaggle", scale=0.001, progress=False)
    assert report.distinct_ids / 3 < fewer.distinct_ids < report.distinct_ids


def test_the_click_rate_of_a_preset_gives_way(tmp_path):
    report = synthesize(tmp_path / "a.tsv", rows=30_000, preset="criteo-tb", scale=1e-4, click_rate=0.5, progress=False)
    assert report.click_rate == pytest.approx(0.5, abs=0.02)


def test_the_command_makes_a_twin_and_refuses_two_sizes(tmp_path, capsys):
    twin = [
        "synth",
        "--preset",
        "criteo-kaggle",
        "--scale",
        "0.001",
        "--rows",
        "1000",
        "--out",
        str(tmp_path / "a.tsv"),
    ]
    assert main([*twin, "--distinct-ids", "500"]) == 2
    assert "leave out distinct_ids" in capsys.readouterr().err
    assert main(twin) == 0
    assert "that exist" in capsys.readouterr().out
    assert (tmp_path / "a.tsv").read_bytes().count(b"\n") == 1000


def test_bad_arguments(tmp_path):
    seeds = ({"seed": -1}, {"seed": 1 << 62})
    kaggle = {"preset": "criteo-kaggle"}
    presets = ({"scale": 0.1}, kaggle | {"scale": 0}, kaggle | {"scale": 1.5}, kaggle | {"distinct_ids": 100})
    for wrong in ({"rows": 0}, {"distinct_ids": 10}, {"distinct_ids": 10**9}, {"click_rate": 1.5}, *seeds, *presets):
        with pytest.raises(UsageError, match="got"):
            synthesize(tmp_path / "a.tsv", **({"rows": 10} | wrong), progress=False)
    (tmp_path / "a.tsv").write_text("mine")
    with pytest.raises(DataError, match="exists"):
        synthesize(tmp_path / "a.tsv", rows=10, progress=False)
    with pytest.raises(UsageError, match="did you mean 'criteo-kaggle'"):
        synthesize(tmp_path / "b.tsv", rows=10, preset="criteo-kagle", progress=False)
    assert not (tmp_path / "b.tsv").exists()
