"""Times tasks in turns, so that whatever disturbs the machine disturbs all of them."""

from __future__ import annotations

import gc
import random
import resource
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

Task = Callable[[int], object]
"""Does its work with the inputs of the round it is given."""
_DISTURBED = 150
"""Interruptions a second; a process left alone has a few."""


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
    began, interrupted = time.perf_counter(), _interruptions()
    for round_number in range(rounds):
        order.shuffle(names)
        for name in names:
            started = time.perf_counter()
            tasks[name](round_number + warm_up)
            seconds[name].append(time.perf_counter() - started)
    gc.enable()
    rate = (_interruptions() - interrupted) / (time.perf_counter() - began)
    return Measured(seconds, f"disturbed: {rate:.0f} interruptions a second" if rate > _DISTURBED else "quiet")


def _interruptions() -> int:
    """How often another process took a processor from this one."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
