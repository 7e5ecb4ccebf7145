"""What does a lookup cost under each sharing scheme, in lookups of ROBE that read runs of the same length?

    python benchmarks/schemes.py [--scheme WORD ...] [--dim 16 128] [--short]

26 tables of 50,000 rows, a memory of 10 MB, batch 2048; one id a feature, or bags of 10; forward, no gradient. Every
scheme is measured in a process of its own, in turns with ROBE of the chunk size that the scheme reads (16 where it
computes its rows instead). Told: both in ms, the ratio round by round, and the ratio divided by k, the terms that the
scheme adds up, as k reads should cost k lookups. What the budget does not allow is left out, and says so.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import ids as id_batches
import ours
import torch
from lookup import KEEP_PAGES
from record import record
from rows import Row, Setting
from timing import Task, in_turns
from torch import Tensor

from pocketrec import EmbeddingBagCollection, MultiHash, QuotientRemainder, Robe, Table
from pocketrec.errors import UsageError
from pocketrec.ops.layout import from_tensor
from pocketrec.sharing import SCHEMES

ROWS = 50_000
VARIANTS: dict[str, Any] = {
    "robe num_hashes=2": lambda: Robe(16, num_hashes=2),
    "robe num_hashes=4": lambda: Robe(16, num_hashes=4),
    "robe chunk_size=32 num_hashes=2": lambda: Robe(32, num_hashes=2),
    "robe chunk_size=32 num_hashes=4": lambda: Robe(32, num_hashes=4),
    "multi-hash num_hashes=4": lambda: MultiHash(4),
    "multi-hash operation=concat": lambda: MultiHash(operation="concat"),
    "qr operation=add": lambda: QuotientRemainder("add"),
    "qr operation=concat": lambda: QuotientRemainder("concat"),
}
MEASURED = SCHEMES | VARIANTS
_SECONDS = 10.0
"""For one duel, so that the slowest scheme does not take an hour."""


def main() -> None:
    """Measure the chosen schemes, one process each, and record what they print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scheme", nargs="+", choices=MEASURED, default=list(MEASURED))
    parser.add_argument("--dim", nargs="+", type=int, default=[16, 128])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--short", action="store_true", help="fewer repetitions")
    parser.add_argument("--duel", choices=MEASURED, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.duel:
        _run(options)
        return
    for scheme in options.scheme:
        _start(scheme, sys.argv[1:])


def _start(scheme: str, arguments: list[str]) -> None:
    command = [sys.executable, __file__, *arguments, "--duel", scheme]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | KEEP_PAGES) as process:
        assert process.stdout
        for line in process.stdout:
            row = Row(*json.loads(line))
            record(row.benchmark, row.shape, "cpu", row.unit, row.values, row.conditions)
    if process.returncode:
        raise SystemExit(f"{scheme} failed with exit code {process.returncode}")


@torch.no_grad()
def _run(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    for dim in options.dim:
        setting = Setting(dim=dim, threads=options.threads)
        try:
            embeddings = _build(setting, MEASURED[options.duel]())
        except UsageError as error:
            print(f"{options.duel}: left out with D={dim}: {error}", file=sys.stderr)
            continue
        for bag in (1, 10):
            for row in _duel(options.duel, embeddings, setting.but(bag=bag), 15 if options.short else 60):
                print(json.dumps(row), flush=True)


def _build(setting: Setting, scheme: Any) -> EmbeddingBagCollection:
    tables = [Table(f"feature_{i}", ROWS, setting.dim) for i in range(setting.features)]
    return EmbeddingBagCollection(tables, scheme, memory_size=None if scheme.row_sparse else setting.memory).eval()


def _duel(name: str, embeddings: EmbeddingBagCollection, setting: Setting, rounds: int) -> Iterator[Row]:
    terms, chunk = _reads(embeddings)
    robe = ours.robe(setting, ROWS, chunk)
    pool = [_batch(setting, ids) for ids in _ids(setting)]
    began = time.perf_counter()
    embeddings(pool[0])
    rounds = max(5, min(rounds, int(_SECONDS / (time.perf_counter() - began))))
    seconds, conditions = in_turns({"ours": _over(pool, embeddings), "robe": _over(pool, robe)}, rounds)
    ratios = [own / one for own, one in zip(seconds["ours"], seconds["robe"], strict=True)]
    shape = f"{name} | robe Z={chunk} k={terms} | {setting} rows={ROWS}"
    yield Row("schemes", shape, "ms", [1e3 * s for s in seconds["ours"]], conditions)
    yield Row("schemes", shape, "ms robe", [1e3 * s for s in seconds["robe"]], conditions)
    yield Row("schemes", shape, "x robe", ratios, conditions)
    if terms > 1:
        yield Row("schemes", shape, "x robe / k", [ratio / terms for ratio in ratios], conditions)


def _reads(embeddings: EmbeddingBagCollection) -> tuple[int, int]:
    """The terms that add up to each piece of a row, and how long the runs of slots are that they are read in."""
    recovery, dim = embeddings.recovery, embeddings.dims[0]
    if recovery is None:
        layout = next(buffer for name, buffer in embeddings.named_buffers() if name.startswith("layout"))
        return 1, min(dim, from_tensor(layout)[0].chunk)
    if recovery.combines or not recovery.linear:
        return 1, 16
    piece = from_tensor(embeddings.get_buffer("layout"))[0]
    return recovery.terms, min(piece.dim, piece.chunk)


def _ids(setting: Setting) -> list[Tensor]:
    return id_batches.pool(setting.ids, ROWS, setting.features, setting.batch * setting.bag)


def _batch(setting: Setting, ids: Tensor) -> Any:
    """(F, B * bag) ids -> (B, F), or bags."""
    if setting.bag == 1:
        return ids.T.contiguous()
    return ids.flatten(), torch.arange(0, ids.numel() + 1, setting.bag)


def _over(pool: list[Any], look_up: Callable[[Any], object]) -> Task:
    return lambda round_number: look_up(pool[round_number % len(pool)])


if __name__ == "__main__":
    main()
