"""How fast is a training step, and what share of it is the embeddings'?

    python benchmarks/step.py [--ids uniform zipf] [--short] [--threads 2]

The `kaggle` preset at batch 2048 on tables as large as Criteo Kaggle's (33.8 M rows x 16): ROBE at 1000x against full
tables with row-sparse gradients, both with Adagrad and both with SGD, in turns within one process (full tables and
their state take 4.3 GB). A step is timed where its parts meet: the embeddings' forward, the dense rest (the MLPs,
interaction, loss and the dense update), the embeddings' backward and update.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import ours
import torch
from ids import KINDS, POOL, draw
from record import record
from timing import Task, in_turns
from torch import Tensor, nn

from pocketrec import EmbeddingBagCollection, Full, Robe, Table
from pocketrec.data.tails import CRITEO_CARDINALITIES
from pocketrec.models import DLRM

BATCH, DENSE, DIM, COMPRESSION = 2048, 13, 16, 1000
FULL, FEATURES = "full tables", len(CRITEO_CARDINALITIES)


class Batch(NamedTuple):
    """One batch of a click log."""

    dense: Tensor
    ids: Tensor
    labels: Tensor


class _Vectors(nn.Module):
    """Stands where DLRM has its embeddings and passes on vectors that were looked up before."""

    num_features, embedding_dim = FEATURES, DIM

    def forward(self, vectors: Tensor) -> Tensor:
        return vectors


@dataclass(frozen=True)
class Parts:
    """Seconds of the parts of each step."""

    forward: list[float]
    dense: list[float]
    backward: list[float]

    @property
    def step(self) -> list[float]:
        return [sum(parts) for parts in zip(self.forward, self.dense, self.backward, strict=True)]


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ids", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--short", action="store_true", help="fewer repetitions")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    tables = [Table(f"cat_{i}", n, DIM) for i, n in enumerate(CRITEO_CARDINALITIES)]
    full = EmbeddingBagCollection(tables, Full())
    robe = EmbeddingBagCollection(tables, Robe(chunk_size=DIM), compression=COMPRESSION)
    for kind in ("adagrad", "sgd"):
        arms = {FULL: (full, _row_sparse(full, kind))} | ours.arms(f"ROBE {COMPRESSION}x", robe, kind)
        for ids in options.ids:
            batches = list(_batches(ids))
            measured, conditions = _measure(arms, kind, batches, rounds=10 if options.short else 60)
            _record(measured, conditions, f"kaggle preset, {kind}, {ids} ids, batch {BATCH}, {options.threads} threads")


def _record(measured: dict[str, Parts], conditions: str, shape: str) -> None:
    def tell(benchmark: str, name: str, unit: str, values: list[float]) -> None:
        record(benchmark, f"{name} | {shape}", "cpu", unit, values, conditions)

    for name, parts in measured.items():
        tell("training step", name, "samples/s", [BATCH / seconds for seconds in parts.step])
        named = {"embedding forward": parts.forward, "embedding backward and update": parts.backward}
        for part, seconds in (named | {"dense": parts.dense}).items():
            tell(f"{part} share of step", name, "ratio", _ratios(seconds, parts.step))
        if name != FULL:
            speed_up = _ratios(measured[FULL].step, parts.step)
            tell("step speed-up", f"{FULL} / {name}", "ratio", speed_up)


def _measure(
    arms: dict[str, ours.Arm],
    kind: str,
    batches: list[Batch],
    rounds: int,
) -> tuple[dict[str, Parts], str]:
    stamps: dict[str, list[tuple[float, ...]]] = {name: [] for name in arms}
    tasks = {name: _step(*arm, kind, batches, stamps[name].append) for name, arm in arms.items()}
    conditions = in_turns(tasks, rounds).conditions
    measured = {}
    for name, stamped in stamps.items():
        forward, dense, backward = zip(*((b - a, c - b, d - c) for a, b, c, d in stamped[-rounds:]), strict=True)
        measured[name] = Parts(list(forward), list(dense), list(backward))
    return measured, conditions


def _step(
    embeddings: EmbeddingBagCollection,
    optimizer: torch.optim.Optimizer,
    kind: str,
    batches: list[Batch],
    tell: Callable[[tuple[float, ...]], None],
) -> Task:
    """A whole step that tells when it began, had its vectors, had their gradient, and ended."""
    model = DLRM.from_preset("kaggle", _Vectors())
    dense_optimizer = ours.TORCH_OPTIMIZERS[kind](model.parameters(), lr=0.01, fused=True)

    def step(round_number: int) -> None:
        batch = batches[round_number % len(batches)]
        began = time.perf_counter()
        vectors = embeddings(batch.ids)
        looked_up = time.perf_counter()
        leaf = vectors.detach().requires_grad_()
        nn.functional.binary_cross_entropy_with_logits(model(batch.dense, leaf), batch.labels).backward()
        dense_optimizer.step()
        dense_optimizer.zero_grad()
        dense_done = time.perf_counter()
        vectors.backward(leaf.grad)
        # torch warns of sparse tensors made inside its own Adagrad, unless told whether to check them.
        with torch.sparse.check_sparse_tensor_invariants(False):
            optimizer.step()
        optimizer.zero_grad()
        tell((began, looked_up, dense_done, time.perf_counter()))

    return step


def _row_sparse(full: EmbeddingBagCollection, kind: str) -> torch.optim.Optimizer:
    return ours.TORCH_OPTIMIZERS[kind](full.parameters(), lr=0.01, foreach=False)


def _batches(ids: str) -> Iterator[Batch]:
    for _ in range(POOL):
        columns = [draw(ids, n, BATCH) for n in CRITEO_CARDINALITIES]
        yield Batch(torch.rand(BATCH, DENSE), torch.stack(columns, 1), torch.randint(0, 2, (BATCH,)).float())


def _ratios(above: list[float], below: list[float]) -> list[float]:
    return [a / b for a, b in zip(above, below, strict=True)]


if __name__ == "__main__":
    main()
