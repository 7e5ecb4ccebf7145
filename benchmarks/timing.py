"""Times tasks in turns, so that whatever disturbs the machine disturbs all of them."""

from __future__ import annotations

import gc
import random
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from cores import nanoseconds_apart

Task = Callable[[int], object]
"""Does its work with the inputs of the round it is given."""


class Measured(NamedTuple):
    """What `in_turns` measured, and under which conditions."""

    seconds: dict[str, list[float]]
    """Of each task in each round."""
    conditions: str


def in_turns(tasks: Mapping[str, Task], rounds: int, warm_up: int = 3) -> Measured:
    """Times each task in each round, after a warm-up.

    The order is shuffled every round: a task inherits its caches from whichever ran before it.
    """
    names, order = list(tasks), random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    distances = []
    gc.disable()
    began, interrupted = time.perf_counter(), _interruptions()
    for round_number in range(-warm_up, rounds):
        if round_number == 0:
            began, interrupted = time.perf_counter(), _interruptions()
        order.shuffle(names)
        for name in names:
            started = time.perf_counter()
            kept = tasks[name](round_number + warm_up)
            elapsed = time.perf_counter() - started
            del kept
            if round_number >= 0:
                seconds[name].append(elapsed)
        if round_number >= 0:
            distances.append(nanoseconds_apart())
    gc.enable()
    rate = (_interruptions() - interrupted) / (time.perf_counter() - began)
    return Measured(seconds, _conditions([d for d in distances if d is not None], rate))


def _interruptions() -> int:
    """How often another process took a processor from this one."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def _conditions(distances: list[float], interruptions: float) -> str:
    """Where threads wait for each other, a busy processor costs whole time slices at every loop, and some peers have
    hundreds of loops: FBGEMM was seen 40 times slower."""
    told = []
    if distances:
        told.append(f"cores {statistics.median(distances):.0f} ns apart ({min(distances):.0f} to {max(distances):.0f})")
    if interruptions > 150:
        told.append(f"disturbed: {interruptions:.0f} interruptions a second")
    return "; ".join(told)


def copy_task(num_elements: int) -> Task:
    """A parallel copy of `num_elements` float32.

    `Tensor.copy_` is the bar because nothing copied faster (27 MB, 2 threads, best of 40: `copy_` 1.56 ms, `memmove` on
    2 threads in 8 pieces 2.21, NumPy on 2 threads 2.11, `memmove` alone 2.86).
    """
    source, target = torch.rand(num_elements), torch.zeros(num_elements)
    return lambda _: target.copy_(source)
