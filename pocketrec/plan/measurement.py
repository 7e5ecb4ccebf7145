"""Times training steps on full tables and on a shared memory in turns, so that what disturbs one disturbs both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm import tqdm

from pocketrec.embedding import EmbeddingBagCollection
from pocketrec.models import DLRM
from pocketrec.plan.setting import Setting
from pocketrec.sharing import Full, Table, scheme_named
from pocketrec.training import TrainConfig
from pocketrec.training.optimizers import Optimizers

DENSE, POOL = 13, 8
LEAST_ROUNDS, WARM_UP = 5, 3
_SCRAMBLE = 2_654_435_761
"""A prime: multiplying by it modulo n maps ranks onto ids spread over the table."""


class Timed(NamedTuple):
    """Seconds of one round."""

    lookup: float
    """The embeddings' forward alone."""
    step: float
    """Forward, loss, backward and update."""


Batch = tuple[Tensor, Tensor, Tensor]
Step = Callable[[int], Timed]
"""Trains on the batch of a round."""


def measure(
    setting: Setting, tables: Sequence[tuple[int, int]], *, seconds: float, progress: bool = True
) -> list[tuple[Timed, Timed]]:
    """Per round (full, shared), for about so many seconds and at least `LEAST_ROUNDS`.

    `tables` are those of the setting, (rows, D), with as many rows as fit here; the memory serves the same.

    What is timed: a DLRM in the published layer sizes for that D, on heavy-tailed ids (Zipf, exponent 1), trained as
    `pocketrec.train` does it: row-sparse gradients for the tables, a dense one for the memory.
    """
    end = time.perf_counter() + seconds
    virtual = [Table(f"table_{number}", *size) for number, size in enumerate(tables)]
    with (
        _threads(setting.threads),
        tqdm(desc="calibrate", total=round(seconds), unit="s", disable=not progress) as line,
    ):
        batches = [_batch(tables, setting.batch_size) for _ in range(POOL)]
        full = _step(EmbeddingBagCollection(virtual, Full()), setting.optimizer, batches)
        scheme = scheme_named(setting.sharing, chunk_size=setting.chunk_size)
        memory = EmbeddingBagCollection(virtual, scheme, memory_size=setting.slots)
        shared = _step(memory, setting.optimizer, batches)
        rounds: list[tuple[Timed, Timed]] = []
        while len(rounds) < LEAST_ROUNDS + WARM_UP or time.perf_counter() < end:
            rounds.append(_in_turns(full, shared, len(rounds)))
            line.update(round(seconds - max(end - time.perf_counter(), 0)) - line.n)
    return rounds[WARM_UP:]


def _in_turns(full: Step, shared: Step, number: int) -> tuple[Timed, Timed]:
    """Each goes first every other round: whoever does finds the other's data in the caches."""
    if number % 2:
        first = full(number)
        return first, shared(number)
    first = shared(number)
    return full(number), first


def _step(embeddings: EmbeddingBagCollection, optimizer: str, batches: Sequence[Batch]) -> Step:
    preset = "terabyte" if (embeddings.embedding_dim or 0) >= 128 else "kaggle"
    model = DLRM.from_preset(preset, embeddings, DENSE)
    optimizers = Optimizers(model, TrainConfig(embedding_optimizer=optimizer, dense_optimizer=optimizer))
    passed: list[float] = []
    embeddings.register_forward_pre_hook(lambda *_: passed.append(time.perf_counter()))
    embeddings.register_forward_hook(lambda *_: passed.append(time.perf_counter()))

    def step(number: int) -> Timed:
        dense, ids, labels = batches[number % len(batches)]
        passed.clear()
        began = time.perf_counter()
        binary_cross_entropy_with_logits(model(dense, ids), labels).backward()
        optimizers.step(1.0)
        before, after = passed
        return Timed(after - before, time.perf_counter() - began)

    return step


def _batch(tables: Sequence[tuple[int, int]], batch_size: int) -> Batch:
    columns = [_zipf(rows, batch_size) for rows, _ in tables]
    clicks = torch.randint(0, 2, (batch_size,)).float()
    return torch.rand(batch_size, DENSE), torch.stack(columns, 1), clicks


def _zipf(rows: int, count: int) -> Tensor:
    """`count` ids, rank r with probability in proportion to 1 / r."""
    ranks = torch.tensor(float(rows + 1), dtype=torch.float64).pow(torch.rand(count, dtype=torch.float64)).long() - 1
    return ranks.clamp_(max=rows - 1) * _SCRAMBLE % rows


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
