"""What a duel tells: measured rows, made of its tasks' seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from timing import Task, in_turns

OURS = "robe"


class Row(NamedTuple):
    """One row for `record`."""

    benchmark: str
    shape: str
    unit: str
    values: list[float]
    conditions: str = ""


@dataclass(frozen=True)
class Setting:
    """The sizes of a lookup; `str()` of it goes into a row's shape."""

    batch: int = 2048
    features: int = 26
    dim: int = 128
    memory: int = 2_500_000
    bag: int = 1
    ids: str = "uniform"
    threads: int = 2

    @property
    def outputs(self) -> int:
        """Elements of the output."""
        return self.batch * self.features * self.dim

    def rows_in(self, table_bytes: float) -> int:
        """Rows of each feature's table when all of them together take `table_bytes`."""
        return int(table_bytes / (4 * self.dim * self.features))

    def but(self, **changes: object) -> Setting:
        """This setting with some sizes changed."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def __str__(self) -> str:
        return (
            f"B={self.batch} F={self.features} D={self.dim} M={self.memory} bag={self.bag} ids={self.ids} "
            f"threads={self.threads}"
        )


def compare(benchmark: str, setting: Setting, tasks: Mapping[str, Task], rounds: int) -> list[Row]:
    """Measure the tasks in turns: milliseconds, times the copy, and how many times faster ours are than each peer.

    Ours are the tasks whose name starts with "robe"; "copy" is the unit. Ratios are taken round by round.
    """
    seconds, conditions = in_turns(tasks, rounds)
    told = [(name, "ms", [1e3 * s for s in seconds[name]]) for name in tasks]
    told += [(name, "x copy", _ratios(seconds[name], seconds["copy"])) for name in tasks if name != "copy"]
    ours = [name for name in tasks if name.startswith(OURS)]
    peers = [name for name in tasks if name not in ours and name != "copy"]
    told += [(f"{p} / {own}", "x faster", _ratios(seconds[p], seconds[own])) for p in peers for own in ours]
    return [Row(benchmark, f"{name} | {setting}", unit, values, conditions) for name, unit, values in told]


def _ratios(above: list[float], below: list[float]) -> list[float]:
    return [a / b for a, b in zip(above, below, strict=True)]
