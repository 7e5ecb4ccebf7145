"""How fast are the Triton kernels, against a copy of their output, torch's own lookups, and tables of 100 GB?

    python benchmarks/gpu.py [--part correct|lookup|gradients|peers|terabyte|host|all] [--rounds 20]
    python benchmarks/gpu.py --dry-run        # no card: the correctness part, tiny, in Triton's interpreter

Needs one CUDA card, and for the whole terabyte tables 105 GB of its memory (an H200); a smaller card gets smaller
tables, and the rows say so. Every part fits in ten minutes. Ratios come from turns within one process. Kernels are
timed as CUDA graphs, so that what counts is the card's time and not Python's.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from gpu_correct import check_all
from gpu_systems import DIM, TERABYTE_ROWS, OnCard, OnHost, Shared, Step, rows_that_fit
from record import record
from torch import Tensor

FEATURES, SLOTS = len(TERABYTE_ROWS), 2_500_000
BATCHES, CHUNKS = (2048, 8192, 65536), (1, 4, 16, 32, 128)
Task = Callable[[], object]


def main() -> None:
    """Check, then measure and record the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["all", *PARTS], default="all")
    parser.add_argument("--rounds", type=int, default=20, help="turns of each measurement")
    parser.add_argument("--host-gib", type=float, default=48.0, help="largest tables held on the host")
    parser.add_argument("--dry-run", action="store_true", help="correctness only, tiny, without a card")
    options = parser.parse_args()
    if options.dry_run:
        os.environ["TRITON_INTERPRET"] = "1"
        check_all(_kernels(), "cpu", tiny=True)
        return
    if not torch.cuda.is_available():
        sys.exit("benchmarks/gpu.py needs a CUDA card: run it on one, or with --dry-run to try what runs without")
    torch.manual_seed(0)
    for part in PARTS if options.part == "all" else [options.part]:
        PARTS[part](options)
        torch.cuda.empty_cache()


def _kernels() -> Any:
    from pocketrec import kernels

    return kernels.gpu() or sys.exit("benchmarks/gpu.py needs triton: pip install triton")


def _ids(rows: list[int], batch: int) -> Tensor:
    return torch.stack([torch.randint(0, n, (batch,), device="cuda") for n in rows], 1)


def _graph(task: Task) -> Task:
    """`task` as one CUDA graph; it must not wait for the device."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):  # compiles kernels and fills torch's caches outside the capture
            task()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        task()

    def replay(_kept: Task = task) -> None:  # the graph knows its tensors by address only: hold them
        graph.replay()

    return replay


def _in_turns(tasks: dict[str, Task], rounds: int, repeats: int = 10) -> dict[str, list[float]]:
    """Microseconds of each task, one after the other in every round, each the mean of `repeats`, after a warm-up."""
    for task in tasks.values():
        for _ in range(3):
            task()
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            for _ in range(repeats):
                task()
            stop.record()
            stop.synchronize()
            times[name].append(1000 * start.elapsed_time(stop) / repeats)
    return times


def _record(question: str, shape: str, times: dict[str, list[float]], against: str) -> None:
    """A row of microseconds for each task, and of its ratio to the task `against` in the same round."""
    for name, values in times.items():
        record(f"gpu {question}: {name}", shape, "cuda", "us", values)
        if name != against:
            ratios = [a / b for a, b in zip(values, times[against], strict=True)]
            record(f"gpu {question}: {name} / {against}", shape, "cuda", "ratio", ratios)


def _correct(options: argparse.Namespace) -> None:
    check_all(_kernels(), "cuda", tiny=False)


def _lookup(options: argparse.Namespace) -> None:
    gpu = _kernels()
    for batch in BATCHES:
        ids, out = _ids(list(TERABYTE_ROWS), batch), torch.rand(batch, FEATURES * DIM, device="cuda")
        into = torch.empty_like(out)
        tasks = {"copy": _graph(partial(into.copy_, out))}
        for chunk in CHUNKS:
            for align in sorted({1, chunk}) if chunk >= 4 else [1]:
                s = Shared(gpu, list(TERABYTE_ROWS), SLOTS, chunk, "cuda", align)
                tasks[f"forward Z={chunk} align={align}"] = _graph(
                    partial(gpu.lookup, s.memory, ids, None, None, s.layout, s.width)
                )
        s = Shared(gpu, list(TERABYTE_ROWS), SLOTS, 32, "cuda")
        tasks["check"] = _graph(partial(gpu.check, s.memory, ids, None, None, s.layout, s.width))
        _record("lookup", f"B={batch}, F=26, D=128, M=2.5M, float32", _in_turns(tasks, options.rounds), "copy")


def _gradients(options: argparse.Namespace) -> None:
    gpu = _kernels()
    for batch in BATCHES:
        ids, grad = _ids(list(TERABYTE_ROWS), batch), torch.randn(batch, FEATURES * DIM, device="cuda")
        into = torch.empty_like(grad)
        tasks = {"copy": _graph(partial(into.copy_, grad))}
        for chunk in CHUNKS:
            s = Shared(gpu, list(TERABYTE_ROWS), SLOTS, chunk, "cuda")
            tasks[f"backward Z={chunk}"] = _graph(partial(s.backward, ids, grad))
            tasks[f"update Z={chunk}"] = _graph(partial(s.update, ids, grad))
        _record("gradients", f"B={batch}, F=26, D=128, M=2.5M, float32", _in_turns(tasks, options.rounds), "copy")


def _peers(options: argparse.Namespace) -> None:
    """torch's own gather from a table of the memory's 10 MB, and the reference's way to do ours: `memory[slots]`."""
    gpu = _kernels()
    for batch in BATCHES[:2]:
        ids = _ids(list(TERABYTE_ROWS), batch)
        s = Shared(gpu, list(TERABYTE_ROWS), SLOTS, 32, "cuda")
        table = s.memory[: SLOTS // DIM * DIM].view(-1, DIM)
        rows = (ids % len(table)).view(-1)
        bags = torch.arange(len(rows), device="cuda")
        slots = torch.randint(0, SLOTS, (batch * FEATURES, DIM), device="cuda")
        tasks: dict[str, Task] = {
            "pocketrec": partial(gpu.lookup, s.memory, ids, None, None, s.layout, s.width),
            "embedding": partial(torch.nn.functional.embedding, rows, table),
            "embedding_bag": partial(torch.nn.functional.embedding_bag, rows, table, bags, mode="sum"),
            "memory[slots]": partial(s.memory.__getitem__, slots),
        }
        times = _in_turns({name: _graph(task) for name, task in tasks.items()}, options.rounds)
        _record("peers", f"B={batch}, F=26, D=128, M=2.5M, Z=32, float32", times, "embedding_bag")


def _compare(shape: str, systems: dict[str, Any], ids: Tensor, against: str, rounds: int, graphs: bool) -> None:
    """Forward, update and the whole DLRM step of each system; again as CUDA graphs where all can be captured."""
    grad = torch.randn(len(ids), FEATURES * DIM, device="cuda")
    steps = {name: Step(system, len(ids), "cuda") for name, system in systems.items()}
    questions: dict[str, dict[str, Task]] = {
        "forward": {n: partial(s.forward, ids) for n, s in systems.items()},
        "update": {n: partial(s.update, ids, grad) for n, s in systems.items()},
        "DLRM step": {n: partial(s, ids) for n, s in steps.items()},
    }
    for question, tasks in questions.items():
        _record(question, shape, _in_turns(tasks, rounds, repeats=3), against)
    if graphs:
        for question, tasks in questions.items():
            captured = {name: _graph(task) for name, task in tasks.items()}
            _record(f"{question} (graph)", shape, _in_turns(captured, rounds), against)


def _terabyte(options: argparse.Namespace) -> None:
    """Full tables on the card beside the shared memory."""
    free = torch.cuda.mem_get_info()[0]
    rows = rows_that_fit(free - 12e9)
    tables = OnCard(rows, "cuda")
    names = ("tables on card", "memory of 10 MB")
    size = f"tables of {sum(rows) * DIM * 4 / 1e9:.0f} GB (at most {max(rows):,} rows each)"
    for batch in (2048, 16384):
        systems = dict(zip(names, (tables, Shared(_kernels(), rows, SLOTS, 32, "cuda")), strict=True))
        _compare(f"terabyte preset, B={batch}, {size}", systems, _ids(rows, batch), names[0], options.rounds, True)


def _host(options: argparse.Namespace) -> None:
    """Full tables in host memory beside the shared memory on the card."""
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    rows, batch = rows_that_fit(min(options.host_gib * 2**30, 0.7 * available)), 2048
    names = ("tables on host", "memory of 10 MB")
    pair = (OnHost(rows, batch, "cuda"), Shared(_kernels(), rows, SLOTS, 32, "cuda"))
    size = f"tables of {sum(rows) * DIM * 4 / 1e9:.0f} GB (at most {max(rows):,} rows each)"
    systems = dict(zip(names, pair, strict=True))
    _compare(f"terabyte preset, B={batch}, {size}", systems, _ids(rows, batch), names[0], options.rounds, False)


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "correct": _correct,
    "lookup": _lookup,
    "gradients": _gradients,
    "peers": _peers,
    "terabyte": _terabyte,
    "host": _host,
}


if __name__ == "__main__":
    main()
