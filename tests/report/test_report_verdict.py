"""The report: each branch of the verdict says what the numbers support."""

from __future__ import annotations

import csv
import re
from dataclasses import replace

import pytest
from fabricated import BOOK_CROSSING, FULL, ROBE, TARGETS, Cell, write_study

from pocketrec.cli import main
from pocketrec.report.evidence import Evidence
from pocketrec.report.verdict import verdict
from pocketrec.report.verdict.findings import Quality, Scales, quality, scales
from pocketrec.study import Interval, read_study


def told_of(folder, *cells, **options):
    """The verdict on a study of full tables and these cells."""
    return verdict(Evidence(read_study(write_study(folder, (FULL, *cells), **options))))


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


def test_one_evaluation_later_is_not_later(tmp_path):
    """Targets are reached somewhere between two evaluations: a step of that grid is no finding."""
    cell = replace(FULL, scheme="robe", compression=10, pace=84)
    evidence = Evidence(read_study(write_study(tmp_path, (FULL, cell))))
    (reached,) = evidence.measured[0].iterations.values()
    assert reached.total_time_ratio > 1.05
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
