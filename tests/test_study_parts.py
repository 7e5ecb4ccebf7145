"""The parts of a study: its config, what it runs, intervals, targets, and the processes it runs in."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from pocketrec.errors import DataError, UsageError
from pocketrec.study import FULL, Cell, Curve, StudyConfig, Way, load_config, read_study
from pocketrec.study.columns import RESULTS, TIMING
from pocketrec.study.rows import append_rows

WAYS = (Way("adagrad", {"optimizer": "adagrad"}), Way("adam", {"optimizer": "adam"}))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"schemes": ("robee",)}, "schemes: unknown name 'robee': did you mean 'robe'"),
        ({"schemes": ("full",)}, "give at least one of each beside the full tables"),
        ({"model": "dlmr"}, "model: unknown name 'dlmr': did you mean 'dlrm'"),
        ({"compressions": (0.1,)}, "compressions: must be full size / stored size, .*, got 0.1"),
        ({"compressions": ("ten",)}, "compressions: must be .* got 'ten'"),
        ({"seeds": 0}, "seeds must be at least 1, got 0"),
        ({"epochs": 1.5}, "epochs must be a whole number, got 1.5"),
        ({"jobs": 0}, "jobs must be at least 1, got 0"),
        ({"targets": ("ful-0.001",)}, "targets: must be an AUC between 0.5 and 1, or full-0.001"),
        ({"targets": ("full+0.1",)}, "targets: must be an AUC"),
        ({"targets": ("0.2",)}, "targets: must be an AUC"),
        ({"ways": ()}, "ways: must have different names, at least one, got none"),
        ({"ways": (Way("a", {}), Way("a", {}))}, "ways: must have different names"),
        ({"ways": (Way("a", {"epoch": 1}),)}, "ways, a: unknown flag 'epoch': did you mean 'epochs'"),
        ({"flags_of": {"robe": {"chunksize": 8}}}, "flags_of.robe: unknown flag 'chunksize': did you mean"),
        ({"flags_of": {"roby": {}}}, "flags_of: unknown name 'roby'"),
        ({"flags": {"seed": 3}}, "flags: 'seed' is set by the study itself"),
        ({"data": ""}, "data: must be a folder, got ''"),
    ],
)  # fmt: skip
def test_senseless_configs_are_refused(given, told):
    with pytest.raises(UsageError, match=told):
        StudyConfig(**{"data": "d", "out": "o"} | given)


def test_flags_come_before_the_file_and_the_file_before_the_defaults(tmp_path):
    file = tmp_path / "study.toml"
    file.write_text(
        'data = "d"\nseeds = 5\nschemes = ["qr"]\n[[ways]]\nname = "w"\nepochs = 2\n[flags_of.qr]\nmin_count = 3\n'
    )
    config = load_config("out", file, {"seeds": 2, "schemes": None, "epochs": 1})
    assert (config.seeds, config.schemes, config.compressions, config.out) == (2, ("qr",), (10, 100, 1000), "out")
    assert config.settings(Cell("qr", 10), config.ways[0]) == {
        "model": "dlrm", "preset": "kaggle", "sharing": "qr", "compression": 10, "min_count": 3, "epochs": 1,
    }  # fmt: skip
    assert config.settings(FULL, config.ways[0]).keys() == {"model", "preset", "sharing", "epochs"}


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        ('data = "d"\nshemes = 1', UsageError, "unknown key 'shemes': did you mean 'schemes'"),
        ('data = "d"\ncompressions = 10', UsageError, "compressions must be a list, got 10"),
        ('data = "d"\nways = [1]', UsageError, r"each \[\[ways\]\] must be a table with a name, got 1"),
        ('data = "d"\nways = 3', UsageError, "ways must be a list, got 3"),
        ('data = "d"\nflags_of = 3', UsageError, r"flags_of: must be tables named by a scheme"),
        ("seeds = 2", UsageError, "data: missing: give --data"),
        ("seeds = = 2", DataError, "study.toml: is not TOML"),
    ],
)
def test_a_config_with_a_mistake_is_told(tmp_path, text, error, told):
    (tmp_path / "study.toml").write_text(text)
    with pytest.raises(error, match=told):
        load_config("out", tmp_path / "study.toml")
    with pytest.raises(DataError, match="no such file"):
        load_config("out", tmp_path / "other.toml")


def test_a_damaged_or_empty_study_is_told(tmp_path):
    """Bytes that are no text, and a folder whose first run has not ended."""
    (tmp_path / "study.toml").write_text('data = "d"')
    with pytest.raises(DataError, match="a study without a finished run yet"):
        read_study(tmp_path)
    (tmp_path / "results.csv").write_bytes(b"date,\xff\n")
    with pytest.raises(DataError, match="not UTF-8 at byte 5: restore the file"):
        read_study(tmp_path)


def test_study_toml_holds_the_whole_config(tmp_path):
    from pocketrec.study.settings import claim

    ways = (Way("a", {"options": {"operation": "add"}, "epochs": 1}), Way("b.2", {"signed": True}))
    told = {
        "epochs": 3,
        "ways": ways,
        "flags": {"without": ["a", 'b "c"']},
        "flags_of": {"hot-cold": {"chunk_size": 4}},
    }
    config = StudyConfig(data="dä\\ta", out=str(tmp_path), **told)
    claim(tmp_path, config, "fingerprint")
    again = load_config(tmp_path)
    assert again.as_dict() == config.as_dict()
    claim(tmp_path, again, "fingerprint")
    with pytest.raises(UsageError, match="fingerprint: was 'fingerprint', now 'other'"):
        claim(tmp_path, again, "other")


def test_intervals_are_those_of_student():
    from scipy.stats import t, ttest_1samp

    from pocketrec.study.intervals import Interval, interval, paired_difference, t_975

    for degrees in (1, 2, 5, 29, 30, 31, 100, 10_000):
        assert t_975(degrees) == pytest.approx(t.ppf(0.975, degrees), rel=1e-4)
    values = [0.801, 0.803, 0.8]
    own, expected = interval(values), ttest_1samp(values, 0).confidence_interval()
    assert (own.low, own.high) == pytest.approx((expected.low, expected.high))
    assert interval([0.8]) == Interval(0.8, None, 1)
    assert interval([]) is None
    paired = paired_difference({0: 0.8, 1: 0.9, 2: 0.1}, {0: 0.81, 1: 0.91, 7: 0.5})
    assert (paired.mean, paired.half_width, paired.count) == (pytest.approx(-0.01), pytest.approx(0, abs=1e-9), 2)


def test_iterations_to_a_target_count_every_seed():
    from pocketrec.study.iterations import Reached
    from pocketrec.study.targets import target

    curve = Curve((10, 20, 30), (0.6, 0.7, 0.65))
    assert [curve.first_reaching(level) for level in (0.5, 0.65, 0.7, 0.71)] == [10, 20, 20, None]
    for each, steps in (((10, 30, None), 30), ((10, None, None), None), ((40, 20), 40), ((20, None), None), ((), None)):
        reached = Reached(target("0.7"), 0.7, dict(enumerate(each)))
        assert (reached.steps, reached.seeds) == (steps, sum(step is not None for step in each))
    assert target("full-0.001").level(0.8) == pytest.approx(0.799)
    assert target("full").level(None) is None
    assert target("0.75").level(None) == 0.75


def test_inflation_and_total_time_are_counted_from_full_tables(tmp_path):
    """By hand: full tables take 100 steps of 10 ms, the small model 300 of 5 ms: 3x the steps, 1.5x the time."""
    rows = [
        _row(cell, "final", "w", seed, auc=0.8) | {"run": f"{cell.slug}-{seed}", "steps_to_best": steps}
        for cell, steps in ((FULL, "100"), (Cell("robe", 10), "300"))
        for seed in (0, 1)
    ]
    append_rows(tmp_path / "results.csv", rows, RESULTS)
    for row in rows:
        folder = tmp_path / "runs" / row["run"]
        folder.mkdir(parents=True)
        (folder / "history.csv").write_text(f"step,validation_auc\n50,0.7\n{row['steps_to_best']},0.8\n")
    timed = {"scheme": "robe", "compression": 10, "step_ms": 5, "full_ms": 10, "ratio": 0.5}
    append_rows(tmp_path / "timing.csv", [dict.fromkeys(TIMING, "") | timed], TIMING)
    full, robe = read_study(tmp_path).summaries()
    assert full.iterations["full-0.001"].inflation == 1
    reached = robe.iterations["full-0.001"]
    assert (reached.steps, reached.inflation, reached.total_time_ratio) == (300, 3, 1.5)
    assert (robe.step_speed_up, full.step_ms, robe.steps_to_best.mean) == (2, 10, 300)


def _row(cell, phase, way, seed, auc=0.7, **changed):
    """A row as `results.csv` would give it."""
    row = dict.fromkeys(RESULTS, "") | {"scheme": cell.scheme, "compression": f"{cell.compression:g}", "phase": phase}
    row |= {"way": way, "seed": str(seed), "settings": "{}", "best_validation_auc": str(auc), "test_auc": str(auc)}
    return row | changed


def _order(config, result):
    """The rows of a study whose trials end with `result(trial)`, one at a time in the order wanted."""
    from pocketrec.study.trials import key_of, wanted

    rows = []
    while True:
        done = {key_of(row) for row in rows}
        missing = [trial for trial in wanted(config, rows) if trial.key not in done]
        if not missing:
            return rows
        trial = missing[0]
        rows.append(_row(trial.cell, trial.phase, trial.way.name, trial.seed, **result(trial)))


def test_every_cell_is_tuned_with_equal_effort_and_validation_picks():
    """What fails, or was given up, is not picked; where all tuning fails there are no finals."""
    from pocketrec.study.trials import expected_total, wanted

    ways = tuple(Way(name, {"learning_rate": rate}) for name, rate in (("a", 0.1), ("b", 0.2), ("c", 0.3), ("d", 0.4)))
    config = StudyConfig(data="d", out="o", compressions=(10, 100), seeds=2, ways=ways)

    def result(trial):
        if trial.cell.compression == 100 or trial.way.name == "d":
            return {"auc": "", "error": "diverged"}
        return (
            {"auc": 0.9, "stopped": "hopeless"}
            if trial.way.name == "c"
            else {"auc": 0.8 if trial.way.name == "b" else 0.7}
        )

    rows = _order(config, result)
    ran = [(row["scheme"], row["compression"], row["phase"], row["way"] + row["seed"]) for row in rows]
    tuning, finals = ["a0", "b0", "c0", "d0"], ["b0", "b1"]
    assert [r[3] for r in ran] == [*tuning, *finals, *tuning, *finals, *tuning]
    assert [r[2] for r in ran] == [*["tuning"] * 4, *["final"] * 2] * 2 + ["tuning"] * 4
    assert (expected_total(config, []), expected_total(config, rows)) == (18, 16)
    assert {t.cell for t in wanted(config, [])} == set(config.cells), "another cell need not wait for the first one"


def test_full_tables_have_their_features_measured_first():
    from pocketrec.study.trials import wanted

    config = StudyConfig(data="d", out="o", compressions=(10,), seeds=2, ways=WAYS)
    robe = Cell("robe", 10)
    rows = [_row(robe, "tuning", way.name, 0) for way in WAYS]
    finals = [trial.seed for trial in wanted(config, rows) if trial.phase == "final"]
    assert finals == [1]
    rows += [_row(FULL, "tuning", way.name, 0) for way in WAYS]
    assert [t.cell for t in wanted(config, rows) if t.measures_features] == [FULL]
    rows.append(_row(FULL, "final", "adagrad", 0))
    assert [t.cell for t in wanted(config, rows) if t.measures_features] == [FULL, robe]
    failed = [_row(FULL, "tuning", way.name, 0, auc="", error="diverged") for way in WAYS]
    assert [t.cell for t in wanted(config, rows[:2] + failed) if t.measures_features] == [robe]


def test_ways_that_the_cap_on_epochs_makes_equal_are_tried_once():
    from pocketrec.study.trials import tuning_trials

    config = StudyConfig(data="d", out="o", epochs=1, ways=(Way("a", {"epochs": 2}), Way("b", {"epochs": 3})))
    assert [trial.way.name for trial in tuning_trials(config, FULL)] == ["a"]
    assert len(tuning_trials(replace(config, epochs=None), FULL)) == 2


def test_only_what_is_far_behind_is_hopeless():
    from pocketrec.study.hopeless import MARGIN, Rival, is_hopeless

    rival = Rival((0.25, 0.5, 1.0), (0.6, 0.8, 0.9))

    def judged(*points, epochs=4):
        return is_hopeless([{"epoch": e, "validation_auc": auc} for e, auc in points], epochs, rival)

    assert not judged((0.5, 0.1)), "never before a whole epoch"
    assert judged((1, 0.6 - 1.01 * MARGIN))
    assert not judged((1, 0.6 - 0.99 * MARGIN))
    assert not judged((1, 0.7), (1.5, 0.5), epochs=4), "its best counts, against the rival's best by then"
    assert judged((1, 0.7), (2, 0.71))
    assert not judged((4, 0.1)), "nothing is saved at the end"


def heavy(megabytes):
    """Its own peak, after having held so much."""
    from pocketrec.study.memory import peak_memory_bytes

    held = bytearray(megabytes << 20)
    del held
    return peak_memory_bytes()


def mistaken():
    raise UsageError("jobs must be at least 1, got 0")


def test_a_process_has_a_peak_of_its_own_and_its_errors_come_back():
    from pocketrec.study.process import Child, ChildDied

    big = Child(heavy, 300).result()
    small = Child(heavy, 0).result()
    assert big - small == pytest.approx(300 << 20, rel=0.1), "what one held does not count for the next"
    with pytest.raises(UsageError, match="jobs must be at least 1, got 0"):
        Child(mistaken).result()
    with pytest.raises(ChildDied, match="ended with exit code 3"):
        Child(os._exit, 3).result()
