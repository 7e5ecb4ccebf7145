"""The duels: each runs in a process of its own, with at most one large peer, the copy measured beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ids as id_batches
import ours
import peers
import torch
from rows import Row, Setting, compare
from timing import Task, copy_task
from torch import Tensor
from torch.nn.functional import embedding_bag

GB = 1e9


@dataclass(frozen=True)
class Options:
    """What the command line chose."""

    short: bool
    ids: Sequence[str]
    threads: int

    @property
    def rounds(self) -> int:
        """Of tasks that take some milliseconds."""
        return 15 if self.short else 100

    def table_bytes(self, full: float) -> float:
        """The short form touches a tenth of the memory: filling 10 GB alone takes half a minute or more."""
        return full / 10 if self.short else full


def forward(options: Options) -> Iterator[Row]:
    """Ours against naive PyTorch on the same memory."""
    for setting in _settings(options):
        batches = _by_sample(setting, setting.rows_in(10 * GB))
        for chunk in (128, 32):
            embeddings = ours.robe(setting, setting.rows_in(10 * GB), chunk)
            tasks = {
                f"robe Z={chunk}": _over(batches, embeddings),
                f"naive gather Z={chunk}": _over(batches, peers.gather(embeddings, chunk)),
                "copy": copy_task(setting.outputs),
            }
            yield from _compare("forward", setting, tasks, 5 if options.short else 15)


def table(options: Options) -> Iterator[Row]:
    """Ours against `embedding_bag` on one big table."""
    num_bytes = options.table_bytes(10 * GB)
    flat = peers.full_table(num_bytes)
    for setting in _settings(options):
        tasks = _against_table(setting, flat, num_bytes, (128, 32))
        aligned = ours.robe(setting, setting.rows_in(num_bytes), 32, align=16)
        tasks["robe Z=32 align=16"] = _over(_by_sample(setting, setting.rows_in(num_bytes)), aligned)
        yield from _compare("forward", setting, tasks, options.rounds)


def size(options: Options) -> Iterator[Row]:
    """The same for tables from 10 MB on; beyond 10 GB ours alone."""
    largest = options.table_bytes(10 * GB)
    flat = peers.full_table(largest)
    setting = Setting(threads=options.threads)
    for num_bytes in (0.01 * GB, 0.03 * GB, 0.1 * GB, 0.3 * GB, GB, 3 * GB, 10 * GB, 100 * GB, 1000 * GB):
        tasks = _against_table(setting, flat if num_bytes <= largest else None, num_bytes, (128, 32))
        yield from compare("forward by size", setting, tasks, options.rounds // 2)


def chunk(options: Options) -> Iterator[Row]:
    """What Z costs: forward, and forward, backward and update."""
    setting = Setting(threads=options.threads)
    num_embeddings = setting.rows_in(10 * GB)
    batches = _by_sample(setting, num_embeddings)
    grad = torch.randn(setting.batch, setting.features, setting.dim)
    look_ups: dict[str, Task] = {"copy": copy_task(setting.outputs)}
    trainings: dict[str, Task] = {"copy": copy_task(setting.outputs)}
    for size in (1, 4, 16, 128) if options.short else (1, 2, 4, 8, 16, 32, 64, 128):
        embeddings = ours.robe(setting, num_embeddings, size)
        look_ups[f"robe Z={size}"] = _over(batches, embeddings)
        for name, step in ours.train_steps(f"robe Z={size}", embeddings, "sgd").items():
            trainings[name] = _over(batches, step, grad)
    with torch.no_grad():
        yield from compare("forward by Z", setting, look_ups, options.rounds // 4)
    yield from compare("train sgd by Z", setting, trainings, options.rounds // 4)


def fbgemm_sgd(options: Options) -> Iterator[Row]:
    """A training step against FBGEMM's, SGD."""
    yield from _against_fbgemm(options, "sgd")


def fbgemm_adagrad(options: Options) -> Iterator[Row]:
    """A training step against FBGEMM's; its Adagrad is row-wise, ours has a state for every slot."""
    yield from _against_fbgemm(options, "adagrad")


def bags_adagrad(options: Options) -> Iterator[Row]:
    """A training step against 26 `nn.EmbeddingBag(sparse=True)` and `torch.optim.Adagrad`.

    The peer is spared the concatenation of its outputs, which a DLRM needs.
    """
    num_bytes = options.table_bytes(6 * GB)
    first = Setting(threads=options.threads)
    modules = peers.embedding_bags(first.rows_in(num_bytes), first.dim, first.features)
    parameters = [p for module in modules for p in module.parameters()]
    optimizer = torch.optim.Adagrad(parameters, lr=0.01, foreach=False)
    offsets = torch.arange(first.batch + 1)

    def step(ids: Tensor, grads: tuple[Tensor, ...]) -> None:
        optimizer.zero_grad()
        torch.autograd.backward([bag(ids[i], offsets) for i, bag in enumerate(modules)], grads)
        with torch.sparse.check_sparse_tensor_invariants(False):
            optimizer.step()

    for setting in _settings(options):
        batches = _by_feature(setting, setting.rows_in(num_bytes))
        grads = tuple(torch.randn(setting.batch, setting.dim) for _ in modules)
        tasks = _train_tasks(setting, batches, setting.rows_in(num_bytes), "adagrad", torch.stack(grads, 1))
        tasks[f"26 EmbeddingBags {num_bytes / GB:g} GB"] = _over(batches, step, grads)
        yield from compare("train adagrad", setting, tasks, 5 if options.short else 30)


def grid(options: Options) -> Iterator[Row]:
    """Weighted bags of 20 ids over widths, chunks and memories, against `embedding_bag` on a table of the virtual size.

    Training includes an SGD update: a backward alone would leave one a row-sparse gradient, the other a dense one.
    """
    num_bytes = options.table_bytes(10 * GB)
    flat = peers.full_table(num_bytes)
    sizes = (12, 20) if options.short else (12, 16, 20, 24, 28)
    for dim in (128, 100) if options.short else (16, 64, 128, 100):
        for log_memory in sizes:
            setting = Setting(features=4, dim=dim, memory=1 << log_memory, bag=20, threads=options.threads)
            chunks = (16, dim) if options.short else sorted({1, 4, 16, dim})
            yield from _grid_cells(setting, flat, num_bytes, chunks, 3 if options.short else 7)


def _grid_cells(setting: Setting, flat: Tensor, num_bytes: float, chunks: Sequence[int], rounds: int) -> Iterator[Row]:
    num_embeddings = setting.rows_in(num_bytes)
    peer = f"embedding_bag {num_bytes / GB:g} GB"
    whole = flat[: num_embeddings * setting.features * setting.dim].view(-1, setting.dim).requires_grad_()
    update = torch.optim.SGD([whole], lr=0.01, foreach=False)
    offsets = torch.arange(setting.batch * setting.features + 1) * setting.bag
    weights = torch.rand(setting.batch * setting.features * setting.bag)
    batches = [b.reshape(-1) for b in _by_feature(setting, num_embeddings)]
    first_rows = (torch.arange(setting.features) * num_embeddings).repeat_interleave(setting.batch * setting.bag)
    grad = torch.randn(setting.batch * setting.features, setting.dim)
    own_grad = grad.view(setting.features, setting.batch, setting.dim).transpose(0, 1).contiguous()

    def read(ids: Tensor) -> Tensor:
        return embedding_bag(
            ids, whole, offsets, mode="sum", sparse=True, per_sample_weights=weights, include_last_offset=True
        )

    def step(ids: Tensor) -> None:
        update.zero_grad()
        read(ids).backward(grad)
        update.step()

    rows_of_whole = [ids + first_rows for ids in batches]
    copy = copy_task(setting.outputs)
    bags = [(ids, offsets, weights) for ids in batches]
    # One chunk size at a time: the largest memories take 1 GB, and as much again to be trained.
    for size, align in [(size, 1) for size in chunks] + [(16, 16)]:
        name = f"robe Z={size}" + (f" align={align}" if align > 1 else "")
        embeddings = ours.robe(setting, num_embeddings, size, align)
        look_ups: dict[str, Task] = {"copy": copy, peer: _over(rows_of_whole, read), name: _over(bags, embeddings)}
        with torch.no_grad():
            yield from compare("grid forward", setting, look_ups, rounds)
        own_step = _over(bags, ours.fused_step(embeddings, "sgd"), own_grad)
        trainings: dict[str, Task] = {"copy": copy, peer: _over(rows_of_whole, step), name: own_step}
        yield from compare("grid train sgd", setting, trainings, rounds)
        del embeddings, look_ups, trainings, own_step


def _against_fbgemm(options: Options, kind: str) -> Iterator[Row]:
    num_bytes = options.table_bytes(10 * GB)
    first = Setting(threads=options.threads)
    tables = peers.fbgemm(first.rows_in(num_bytes), first.dim, first.features, kind)
    offsets = torch.arange(first.batch * first.features + 1)
    for setting in _settings(options):
        batches = _by_feature(setting, setting.rows_in(num_bytes))
        grad = torch.randn(setting.batch, setting.features, setting.dim)
        own_grad = grad.view(setting.batch, -1)
        tasks = _train_tasks(setting, batches, setting.rows_in(num_bytes), kind, grad)
        flat_ids = [ids.reshape(-1) for ids in batches]
        peer = f"FBGEMM {num_bytes / GB:g} GB"
        tasks[peer] = _over(flat_ids, lambda ids, own_grad=own_grad: tables(ids, offsets).backward(own_grad))
        yield from compare(f"train {kind}", setting, tasks, options.rounds // 2)


def _train_tasks(
    setting: Setting, batches: list[Tensor], num_embeddings: int, kind: str, grad: Tensor
) -> dict[str, Task]:
    """The copy, and our training steps at Z = 128 and 32."""
    by_sample = [ids.t().contiguous() for ids in batches]
    tasks: dict[str, Task] = {"copy": copy_task(setting.outputs)}
    for size in (128, 32):
        embeddings = ours.robe(setting, num_embeddings, size)
        for name, step in ours.train_steps(f"robe Z={size}", embeddings, kind).items():
            tasks[name] = _over(by_sample, step, grad)
    return tasks


def _against_table(setting: Setting, flat: Tensor | None, num_bytes: float, chunks: Sequence[int]) -> dict[str, Task]:
    """The copy, ours, and `embedding_bag` on the first `num_bytes` of the table, if there is one."""
    num_embeddings = setting.rows_in(num_bytes)
    batches = _by_sample(setting, num_embeddings)
    tasks: dict[str, Task] = {"copy": copy_task(setting.outputs)}
    for size in chunks:
        tasks[f"robe Z={size} {num_bytes / GB:g} GB"] = _over(batches, ours.robe(setting, num_embeddings, size))
    if flat is None:
        return tasks
    whole = flat[: num_embeddings * setting.features * setting.dim].view(-1, setting.dim)
    offsets = torch.arange(setting.batch * setting.features + 1)
    first_rows = torch.arange(setting.features) * num_embeddings
    rows_of_whole = [(ids + first_rows).reshape(-1) for ids in batches]

    def read(ids: Tensor) -> Tensor:
        return embedding_bag(ids, whole, offsets, mode="sum", include_last_offset=True)

    tasks[f"embedding_bag {num_bytes / GB:g} GB"] = _over(rows_of_whole, read)
    return tasks


@torch.no_grad()
def _compare(benchmark: str, setting: Setting, tasks: dict[str, Task], rounds: int) -> list[Row]:
    return compare(benchmark, setting, tasks, rounds)


def _settings(options: Options) -> list[Setting]:
    return [Setting(ids=kind, threads=options.threads) for kind in options.ids]


def _by_feature(setting: Setting, num_embeddings: int) -> list[Tensor]:
    return id_batches.pool(setting.ids, num_embeddings, setting.features, setting.batch * setting.bag)


def _by_sample(setting: Setting, num_embeddings: int) -> list[Tensor]:
    return [ids.t().contiguous() for ids in _by_feature(setting, num_embeddings)]


def _over(batches: Sequence[Any], call: Callable[..., object], *others: object) -> Task:
    """A task that hands `call` the round's batch."""
    return lambda round_number: call(batches[round_number % len(batches)], *others)


PARTS: dict[str, tuple[Callable[[Options], Iterator[Row]], ...]] = {
    "forward": (forward, table),
    "train": (fbgemm_sgd, fbgemm_adagrad, bags_adagrad),
    "grid": (grid,),
    "size": (size,),
    "chunk": (chunk,),
}
