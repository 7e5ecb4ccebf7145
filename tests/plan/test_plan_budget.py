"""The planner: how large the memory is, and what it refuses."""

from __future__ import annotations

import re

import pytest
from asked import BASE

from pocketrec.cli import main
from pocketrec.errors import UsageError
from pocketrec.plan import (
    parse_bytes,
    parse_tables,
    plan,
)
from pocketrec.theory import slots_for_inner_products


def test_three_ways_to_a_memory():
    workload = parse_tables("10000x8")
    assert plan(workload, compression=100).budget.slots == 800
    assert plan(workload, memory_bytes=4 * 321 + 3).budget.slots == 321
    by_epsilon = plan(workload, epsilon=0.5).budget
    assert by_epsilon.slots == slots_for_inner_products([(10_000, 8)], 0.5, 0.05)
    assert by_epsilon.epsilon == pytest.approx(0.5, rel=0.01)
    with pytest.raises(UsageError, match="not below the full tables'"):  # a sketch longer than a column is the column
        plan(workload, epsilon=0.001)


def test_a_device_alone_is_a_budget_too():
    found = plan(parse_tables("10000x8"), device="64 kB")
    assert found.budget.slots == 4000
    assert found.shared.training["adam"] == found.device.bytes
    assert found.device.shared_trains == {"sgd": True, "adagrad": True, "adam": True}
    assert not found.device.full_serves
    assert not any(found.device.full_trains.values())


def test_devices_by_name():
    workload = parse_tables("1000000x64")
    assert plan(workload, compression=10, device="H100").device.bytes == 80_000_000_000
    assert plan(workload, compression=10, device="here").device.bytes > 1e8
    with pytest.raises(UsageError, match="did you mean 'a100-80gb'"):
        plan(workload, compression=10, device="a100-80")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("10MB", 10_000_000), ("1.5 GiB", 3 << 29), ("7", 7), ("2 kb", 2000), (".5kB", 500), ("1e3 B", 1000)],
)
def test_sizes_in_words(text, expected):
    assert parse_bytes("memory", text) == expected


REFUSED = {
    "no budget": (BASE, "give one of compression, memory_bytes and epsilon .* got none"),
    "two budgets": ((*BASE, "--compression", "10", "--memory", "1kB"), "got several"),
    "above the full tables": ((*BASE, "--memory", "1MB"), r"250,000 slots, not below the full tables' 8,000"),
    "device that holds the full tables": ((*BASE, "--device", "1GB"), "not below the full tables"),
    "epsilon 0": ((*BASE, "--epsilon", "0"), r"epsilon must be a number in \(0, 1\), got 0"),
    "epsilon 1.5": ((*BASE, "--epsilon", "1.5"), r"epsilon must be a number in \(0, 1\), got 1.5"),
    "epsilon nan": ((*BASE, "--epsilon", "nan"), r"epsilon must be a number in \(0, 1\), got nan"),
    "compression below 1": ((*BASE, "--compression", "0.1"), r"compression.*\[1, inf\)"),
    "a memory of nothing": ((*BASE, "--compression", "5000"), "1 slots, too few for two rows of D=8"),
    "too many slots": (("--tables", "1000000000x64", "--compression", "2"), r"fewer than 2\^31"),
    "unknown unit": ((*BASE, "--memory", "10 XB"), "memory: unknown unit 'XB' in '10 XB': choose from B, kB, MB"),
    "no size": ((*BASE, "--memory", "much"), "memory: wants a number and a unit, such as 10MB"),
    "negative size": ((*BASE, "--memory=-1MB"), "memory: wants a number and a unit"),
    "no bytes": ((*BASE, "--memory", "0.1"), "at least 1 byte"),
    "tables in words": (("--tables", "10", "--compression", "2"), "wants ROWSxWIDTH.*part 1 is '10'"),
    "second table": (("--tables", "10x4,5y4", "--compression", "2"), "part 2 is '5y4'"),
    "no rows": (("--tables", "10x4,0x4", "--compression", "2"), "both at least 1; part 2 is '0x4'"),
    "trailing comma": (("--tables", "10x4,", "--compression", "2"), "part 2 is ''"),
    "no tables": (("--compression", "2"), "give one of --preset, --data and --tables, got none"),
    "two workloads": ((*BASE, "--preset", "criteo-tb", "--compression", "2"), "got --preset and --tables"),
    "unknown preset": (("--preset", "criteo-td", "--compression", "2"), "did you mean 'criteo-tb'"),
    "width of given tables": ((*BASE, "--embedding-dim", "4", "--compression", "2"), "leave it out"),
    "width 0": (("--preset", "criteo-tb", "--embedding-dim", "0", "--compression", "2"), "at least 1, got 0"),
    "other scheme": ((*BASE, "--compression", "10", "--sharing", "rob"), "did you mean 'robe'"),
    "chunks of hashednets": (
        (*BASE, "--compression", "10", "--sharing", "hashednets", "--chunk-size", "4"),
        "leave it out, got 4",
    ),
    "chunk 0": ((*BASE, "--compression", "10", "--chunk-size", "0"), "chunk_size must be at least 1"),
    "batch 0": ((*BASE, "--compression", "10", "--batch-size", "0"), "batch_size must be at least 1"),
    "optimizer": ((*BASE, "--compression", "10", "--optimizer", "adamw"), "did you mean 'adam'"),
    "calibrating widths": (("--tables", "100x8,100x4", "--compression", "4", "--calibrate"), "tables of one width"),
    "calibrating no time": ((*BASE, "--compression", "10", "--calibrate", "0"), r"\(0, 3600\], got 0"),
}


@pytest.mark.parametrize(("flags", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_makes_no_sense_is_refused(flags, message, capsys):
    assert main(["plan", *flags]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_folder_that_is_none(tmp_path, capsys):
    assert main(["plan", "--data", str(tmp_path / "nowhere"), "--compression", "2"]) == 1
    assert "no such folder" in capsys.readouterr().err
