"""Values whose rows are near to a table's, where no formula gives the nearest: steps down the squared error.

Adam on random rows, the rate of each parameter a part of its own size, falling to 0; of what was looked at, the best is
kept.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from pocketrec.compress.blocks import rows_at_once, rows_in_cache
from pocketrec.compress.served import Served
from pocketrec.compress.trained import Trained
from pocketrec.sharing import Recovery

_RATE = 0.1
"""Of the first step, in root mean squares of a parameter."""
_LEAST_ROWS = 1 << 10
_ROWS_LOOKED_AT = 1 << 14
_LOOKS = 10


class Values(nn.Module):
    """A memory and the parameters beside it, in float32, apart from the module they are for."""

    def __init__(self, memory: Tensor | None, recovery: Recovery) -> None:
        super().__init__()
        self.memory = None if memory is None else nn.Parameter(memory.clone())
        self.recovery = copy.deepcopy(recovery).float().requires_grad_(True)


def descend(
    served: Served, trained: Trained, values: Values, steps: int, seed: int, advance: Callable[[int], object]
) -> None:
    """Improve `values`, in place; the same for the same seed.

    Where rows are not linear in the memory, from new initial values spread as widely as the table: from small ones it
    takes long to come to large rows.
    """
    served = served.over(values.recovery)
    generator = torch.Generator(trained.weight.device).manual_seed(seed)
    looked_at = trained.draw(_ROWS_LOOKED_AT, generator)
    square = trained.rows(looked_at).square().mean().item()
    best = _Best(served, trained, values, looked_at)
    if square > 0 and not values.recovery.linear:
        with _seeded(seed, trained.weight.device):
            _spread(values, math.sqrt(3 * square))
    optimizer = _optimizer(values)
    rates = [group["lr"] for group in optimizer.param_groups]
    one = looked_at[1:2] if int(looked_at[0]) == trained.padding else looked_at[:1]
    rows = _rows_a_step(served, values, one)
    for step in range(steps):
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * (1 - step / steps)
        ids = trained.draw(rows, generator)
        optimizer.zero_grad()
        with torch.enable_grad():
            error = (served.recovered(values.memory, ids) - trained.rows(ids)).square().sum() / max(square, 1e-30)
        error.backward()
        optimizer.step()
        advance(1)
        if (step + 1) % math.ceil(steps / _LOOKS) == 0 or step + 1 == steps:
            best.look()
    best.restore()


class _Best:
    """The values of the smallest error so far, at first those given."""

    def __init__(self, served: Served, trained: Trained, values: Values, looked_at: Tensor) -> None:
        self._served, self._trained, self._values, self._looked_at = served, trained, values, looked_at
        self._error = self._now()
        self._kept = [p.detach().clone() for p in values.parameters()]

    def look(self) -> None:
        error = self._now()
        if error < self._error:
            self._error = error
            for kept, parameter in zip(self._kept, self._values.parameters(), strict=True):
                kept.copy_(parameter)

    @torch.no_grad()
    def restore(self) -> None:
        for kept, parameter in zip(self._kept, self._values.parameters(), strict=True):
            parameter.copy_(kept)

    @torch.no_grad()
    def _now(self) -> float:
        memory = self._values.memory
        pieces = self._looked_at.split(rows_in_cache(self._served.widest))
        each = ((self._served.recovered(memory, ids) - self._trained.rows(ids)).square().sum() for ids in pieces)
        return sum(e.item() for e in each)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's global generators, which initial values are drawn from, seeded; afterwards they are as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@torch.no_grad()
def _spread(values: Values, bound: float) -> None:
    """Initial values whose rows are spread as U(-bound, bound); maps stay as they are."""
    maps = [b.clone() for b in values.recovery.buffers()]
    if values.memory is not None:
        values.memory.uniform_(-bound, bound)
    values.recovery.reset(values.memory, bound)
    for buffer, kept in zip(values.recovery.buffers(), maps, strict=True):
        buffer.copy_(kept)


def _optimizer(values: Values) -> torch.optim.Optimizer:
    parameters = list(values.parameters())
    sizes = [p.detach().square().mean().sqrt().item() for p in parameters]
    least = min((size for size in sizes if size > 0), default=1.0)  # of a bias, which is 0 at first
    groups = [{"params": [p], "lr": _RATE * (size or least)} for p, size in zip(parameters, sizes, strict=True)]
    return torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-12, fused=parameters[0].device.type in ("cpu", "cuda"))


def _rows_a_step(served: Served, values: Values, one: Tensor) -> int:
    """So many that, together, they read each number once, and small memories more often; going by one id."""
    parameters = list(values.parameters())
    with torch.enable_grad():
        row = served.recovered(values.memory, one).sum()
    gradients = torch.autograd.grad(row, parameters, allow_unused=True)
    read = sum(int(g.count_nonzero()) for g in gradients if g is not None)
    return max(_LEAST_ROWS, rows_at_once(max(read, served.widest), sum(p.numel() for p in parameters)))
