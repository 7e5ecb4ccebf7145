"""How fast is a training step, and what share of it is the embeddings'?

    python benchmarks/step.py [--short] [--threads 2]

The `kaggle` preset at batch 2048 on tables as large as Criteo Kaggle's (33.8 M rows), ROBE at 1000x, Adam: the whole
step, and by itself the lookup with its backward and the update of the memory, in turns within one process.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from record import record

from pocketrec import EmbeddingBagCollection, Robe, Table
from pocketrec.data.tails import CRITEO_CARDINALITIES
from pocketrec.models import DLRM

BATCH, DENSE, DIM, COMPRESSION = 2048, 13, 16, 1000


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="fewer repetitions")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    tables = [Table(f"cat_{i}", n, DIM) for i, n in enumerate(CRITEO_CARDINALITIES)]
    embeddings = EmbeddingBagCollection(tables, Robe(chunk_size=DIM), compression=COMPRESSION)
    model = DLRM.from_preset("kaggle", embeddings)
    whole, part = _whole_step(model), _embedding_step(embeddings)
    measured = _in_turns({"step": whole, "embedding": part}, rounds=30 if options.short else 200)
    shape = f"kaggle preset, ROBE {COMPRESSION}x, batch {BATCH}, {options.threads} threads"
    record("training step", shape, "cpu", "samples/s", [BATCH / seconds for seconds in measured["step"]])
    shares = [e / s for e, s in zip(measured["embedding"], measured["step"], strict=True)]
    record("embedding share of step", shape, "cpu", "ratio", shares)


def _batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    ids = torch.stack([torch.randint(0, n, (BATCH,)) for n in CRITEO_CARDINALITIES], 1)
    return torch.rand(BATCH, DENSE), ids, torch.randint(0, 2, (BATCH,)).float()


def _whole_step(model: DLRM) -> Callable[[], None]:
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    dense, ids, labels = _batch()

    def step() -> None:
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(dense, ids), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _embedding_step(embeddings: EmbeddingBagCollection) -> Callable[[], None]:
    optimizer = torch.optim.Adam(embeddings.parameters(), fused=True)
    _, ids, _ = _batch()
    grad = torch.randn(BATCH, embeddings.num_features, DIM)

    def step() -> None:
        embeddings(ids).backward(grad)
        optimizer.step()
        optimizer.zero_grad()

    return step


def _in_turns(tasks: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each task, one after the other in every round, after a warm-up."""
    for task in tasks.values():
        for _ in range(5):
            task()
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            started = time.perf_counter()
            task()
            seconds[name].append(time.perf_counter() - started)
    return seconds


if __name__ == "__main__":
    main()
