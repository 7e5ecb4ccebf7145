"""How much memory do lookup, backward and update take beyond inputs, output and one gradient?"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import ours
import torch
from duels import GB, Options
from ids import draw
from rows import Row, Setting
from torch import Tensor


def extra_memory(options: Options) -> Iterator[Row]:
    """Peak extra bytes of each pass, as a multiple of (memory's bytes x threads); the goal is 2."""
    for memory in (2_500_000, 4_000_000):  # the gradient is summed in copies of the first, in bins of the second
        yield from _of_memory(Setting(threads=options.threads, memory=memory))


def _of_memory(setting: Setting) -> Iterator[Row]:
    num_embeddings = setting.rows_in(10 * GB)
    ids = draw("uniform", num_embeddings, setting.batch * setting.features).view(setting.batch, setting.features)
    grad = torch.randn(setting.batch, setting.features, setting.dim)
    unit = 4 * setting.memory * setting.threads
    for chunk in (1, 4, 128):
        embeddings = ours.robe(setting, num_embeddings, chunk)
        for name, extra in _passes(embeddings, f"robe Z={chunk}", ids, grad):
            yield Row("extra memory", f"{name} | {setting}", "x memory x threads", [extra / unit])


def _passes(
    embeddings: ours.EmbeddingBagCollection, name: str, ids: Tensor, grad: Tensor
) -> Iterator[tuple[str, float]]:
    """(pass, peak bytes beyond what it must hold anyway). SGD: it has no state, so all its bytes are extra."""
    for step in ours.train_steps(name, embeddings, "sgd").values():
        step(ids[:1], grad[:1])
    with torch.no_grad():
        yield f"{name} forward", _peak(lambda: embeddings(ids)) - 4 * grad.numel()
    # Fresh arms: what an optimiser kept from the warm-up would not count.
    for arm, (trained, optimizer) in ours.arms(name, embeddings, "sgd").items():
        looked_up = trained(ids)
        backward = _peak(partial(looked_up.backward, grad))
        kept = trained.get_parameter("memory").grad
        yield f"{arm} backward", backward - (0 if kept is None else 4 * kept.numel())
        yield f"{arm} step", _peak(optimizer.step)


def _peak(work: Callable[[], object]) -> float:
    """Bytes by which `work` raises the resident set, the memory it returns included."""
    # What the allocator keeps from earlier would be used again and hide what `work` takes.
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    work()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))
