"""The planner: what it measures of this machine, and what it keeps of that."""

from __future__ import annotations

import json
import re

import pytest
import torch
from asked import TINY, told

from pocketrec.cli import main
from pocketrec.errors import UsageError
from pocketrec.plan import (
    parse_tables,
    plan,
)
from pocketrec.plan.room import capped, tables_that_fit


def test_a_calibration_is_measured_kept_and_used(capsys):
    flags = ("--tables", TINY, "--compression", "4", "--batch-size", "32")
    assert told(capsys, *flags)["calibration"] is None
    fresh = told(capsys, *flags, "--calibrate", "0.01")
    found = fresh["calibration"]
    assert found["rows"] == 500
    assert found["rounds"] >= 5
    assert found["step_speed_up_low"] <= found["step_speed_up"] <= found["step_speed_up_high"]
    assert fresh["total_time"]["predicted"] == pytest.approx(fresh["inflation"]["predicted"] / found["step_speed_up"])
    assert fresh["total_time"]["low"] <= fresh["total_time"]["predicted"] <= fresh["total_time"]["high"]
    assert told(capsys, *flags) == fresh, "a second plan reads what was kept"
    assert main(["plan", *flags]) == 0
    page = capsys.readouterr().out
    assert "step speed-up" in page
    assert "examples/s" in page
    assert "total time" in page


@pytest.mark.parametrize(
    "other",
    [
        {"compression": 5},
        {"compression": 4, "batch_size": 16},
        {"compression": 4, "optimizer": "sgd"},
        {"compression": 4, "chunk_size": 2},
        {"compression": 4, "sharing": "hashednets"},
    ],
)
def test_a_calibration_of_something_else_is_not_used(other):
    workload = parse_tables(TINY)
    same = {"compression": 4, "batch_size": 32}
    assert plan(workload, **same, calibrate_seconds=0.01, progress=False).calibration is not None
    assert plan(workload, **same).calibration is not None
    assert plan(workload, **({"batch_size": 32} | other)).calibration is None


@pytest.mark.parametrize("machine", ["OMP_NUM_THREADS", "versions", "machine"])
def test_another_machine_measures_for_itself(machine, monkeypatch):
    workload, same = parse_tables(TINY), {"compression": 4, "batch_size": 32}
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    plan(workload, **same, calibrate_seconds=0.01, progress=False)
    if machine == "OMP_NUM_THREADS":
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
    else:
        monkeypatch.setattr(f"pocketrec.plan.setting.{machine}", lambda: "another")
    assert plan(workload, **same).calibration is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"setting": 1}', None])
def test_a_damaged_calibration_is_ignored_with_a_word(text, tmp_path, capsys):
    workload, same = parse_tables(TINY), {"compression": 4, "batch_size": 32}
    kept = plan(workload, **same, calibrate_seconds=0.01, progress=False)
    (path,) = (tmp_path / "cache" / "pocketrec").glob("calibration-*.json")
    if text is None:  # whole, but of figures that no measurement gives
        broken = json.loads(path.read_text())
        broken["calibration"]["step_speed_up"] = -1
        text = json.dumps(broken)
    path.write_text(text)
    assert plan(workload, **same).calibration is None
    assert f"ignored the calibration in {path}" in capsys.readouterr().err
    again = plan(workload, **same, calibrate_seconds=0.01, progress=False)
    assert again.calibration is not None
    assert again.calibration.rows == kept.calibration.rows
    assert plan(workload, **same).calibration == again.calibration


def test_a_cache_that_cannot_be_written_costs_only_a_word(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert plan(parse_tables(TINY), compression=4, batch_size=8, calibrate_seconds=0.01, progress=False).calibration
    assert "was not kept" in capsys.readouterr().err


def test_a_calibrated_plan_of_a_log_says_how_long_an_epoch_takes(prepared, capsys):
    flags = ("--data", str(prepared), "--compression", "10", "--batch-size", "32")
    found = told(capsys, *flags, "--calibrate", "0.01")
    assert found["examples"] == 3200
    assert main(["plan", *flags]) == 0
    epoch = re.search(r"an epoch +([\d.]+) (\w+) in full", capsys.readouterr().out)
    seconds = {"seconds": 1, "minutes": 60}[epoch[2]] * float(epoch[1])
    assert seconds == pytest.approx(3200 / 32 * found["calibration"]["full_step_seconds"], rel=0.06)


def test_tables_are_cut_to_what_fits():
    assert capped([(100, 4), (10, 4)], 400) == [(90, 4), (10, 4)]
    assert capped([(100, 4), (10, 4)], 440) == [(100, 4), (10, 4)]
    assert capped([(100, 4), (10, 4)], 1) == [(1, 4), (1, 4)]
    assert tables_that_fit([(100, 4)], slots=10, optimizer="adagrad", room=3200) == [(100, 4)]
    assert tables_that_fit([(100, 4)], slots=10, optimizer="adagrad", room=1600) == [(50, 4)]
    with pytest.raises(UsageError, match="a memory of 1,000 slots trains in 16,000 bytes, of which 400"):
        tables_that_fit([(100, 4)], slots=1000, optimizer="adam", room=400)


def test_a_plan_says_that_tables_were_cut(monkeypatch, capsys):
    monkeypatch.setattr("pocketrec.plan.room.MOST_BYTES", 16_000)
    flags = ("--tables", TINY, "--compression", "4", "--batch-size", "32")
    assert main(["plan", *flags, "--calibrate", "0.01"]) == 0
    assert "tables cut to 250 rows" in " ".join(capsys.readouterr().out.split())


def test_the_threads_of_the_caller_are_left_as_they_were(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", str(before + 1))
    plan(parse_tables(TINY), compression=4, batch_size=8, calibrate_seconds=0.01, progress=False)
    assert torch.get_num_threads() == before
