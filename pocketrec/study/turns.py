"""Times tasks in turns, so that whatever disturbs the machine disturbs all of them."""

from __future__ import annotations

import contextlib
import gc
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

Task = Callable[[int], object]
"""Does its work with the inputs of the round it is given."""
DISTURBED = "disturbed"
"""How `conditions` begin where other work took the processors."""
_WAITED = 0.05
"""Part of the time that a thread waits for a processor; one left alone waits hardly ever."""


class Measured(NamedTuple):
    """What `in_turns` measured, and under which conditions."""

    seconds: dict[str, list[float]]
    """Of each task in each round."""
    conditions: str


def in_turns(tasks: Mapping[str, Task], rounds: int, warm_up: int = 3) -> Measured:
    """Time each task once a round, after a warm-up.

    The order is shuffled every round: a task inherits its caches from whichever ran before it.
    """
    names, order = list(tasks), random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for round_number in range(warm_up):
        for name in names:
            tasks[name](round_number)
    gc.disable()
    began, waited = time.perf_counter(), _waited()
    for round_number in range(rounds):
        order.shuffle(names)
        for name in names:
            started = time.perf_counter()
            tasks[name](round_number + warm_up)
            seconds[name].append(time.perf_counter() - started)
    gc.enable()
    # The most of any thread: they wait for each other.
    part = max((after - waited.get(name, 0.0) for name, after in _waited().items()), default=0.0)
    return Measured(seconds, _conditions(part / (time.perf_counter() - began)))


def _conditions(part: float) -> str:
    told = f"waited {part:.1%} of the time for a processor"
    return f"{DISTURBED}: {told}" if part > _WAITED else told


def _waited() -> dict[str, float]:
    """Seconds that each thread of this process was ready to run and did not, as Linux counts them; elsewhere none."""
    found = {}
    for path in Path("/proc/self/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            found[path.parent.name] = int(path.read_text().split()[1]) / 1e9
    return found
