"""Times tasks in turns, so that whatever disturbs the machine disturbs all of them."""

from __future__ import annotations

import gc
import random
import resource
import sys
import time
from collections.abc import Callable, Mapping

import torch

Task = Callable[[int], object]
"""Does its work with the inputs of the round it is given."""


def in_turns(tasks: Mapping[str, Task], rounds: int, warm_up: int = 3) -> dict[str, list[float]]:
    """Seconds of each task in each round, after a warm-up.

    The order is shuffled every round: a task inherits its caches from whichever ran before it.
    """
    names, order = list(tasks), random.Random(0)
    interrupted = _interruptions()
    seconds: dict[str, list[float]] = {name: [] for name in names}
    gc.disable()
    for round_number in range(-warm_up, rounds):
        order.shuffle(names)
        for name in names:
            started = time.perf_counter()
            kept = tasks[name](round_number + warm_up)
            elapsed = time.perf_counter() - started
            del kept
            if round_number >= 0:
                seconds[name].append(elapsed)
    gc.enable()
    _warn_if_disturbed(_interruptions() - interrupted, sum(map(sum, seconds.values())))
    return seconds


def _interruptions() -> int:
    """How often another process took a processor from this one."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def _warn_if_disturbed(interruptions: int, seconds: float) -> None:
    """Where threads wait for each other, a busy processor costs whole time slices at every loop, and some peers have
    hundreds of loops: FBGEMM was seen 40 times slower."""
    if interruptions > 150 * seconds:
        print(f"disturbed: {interruptions / seconds:.0f} interruptions a second; measure again", file=sys.stderr)


def copy_task(num_elements: int) -> Task:
    """A parallel copy of `num_elements` float32.

    `Tensor.copy_` is the bar because nothing copied faster (27 MB, 2 threads, best of 40: `copy_` 1.56 ms, `memmove` on
    2 threads in 8 pieces 2.21, NumPy on 2 threads 2.11, `memmove` alone 2.86).
    """
    source, target = torch.rand(num_elements), torch.zeros(num_elements)
    return lambda _: target.copy_(source)
