"""How long a training step takes: every method at what was chosen for it, in turns with full tables."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from timing import Task, in_turns
from torch.nn.functional import binary_cross_entropy_with_logits

from pocketrec.data import ClickLog, open_log
from pocketrec.runs.build import Shape, build_ids, build_model, completed
from pocketrec.runs.flags import config_from
from pocketrec.training.batches import forward, split_batch
from pocketrec.training.optimizers import Optimizers
from studies.schemes import cells
from studies.schemes.finished import finished
from studies.trials import Rows, append, read_rows, training_flags

COLUMNS = ("date", "commit", "machine", "versions", "cell", "settings", "step_ms", "full_ms", "ratio", "conditions")
BATCH, POOL, THREADS = 2048, 8, 2
TOGETHER = 4
"""Methods measured in turns, beside the full tables; then the next."""
PREFERRED = (100, 10, 1000)
"""Where a method does not reach the first, it is timed at the next."""
FULL = {"sharing": "full", "embedding_dim": cells.FULL_WIDTH, "optimizer": "adagrad", "decay": "none", "epochs": 1}


def measure_missing(rows: Rows, data: Path, path: Path, about: Mapping[str, str], rounds: int = 40) -> None:
    """Append a row for each method that `path` does not have at its chosen settings."""
    torch.set_num_threads(THREADS)
    log = open_log(data, progress=False)
    done = {(row["cell"], row["settings"]) for row in read_rows(path)}
    missing = [pair for pair in chosen(rows) if pair not in done]
    for start in range(0, len(missing), TOGETHER):
        for row in _measure(missing[start : start + TOGETHER], log, rounds):
            append(path, {**about, **row}, COLUMNS)


def chosen(rows: Rows) -> list[tuple[str, str]]:
    """(cell, settings) of each method that has finished."""
    found = []
    for method in cells.EVERY:
        ready = [cell for x in PREFERRED if (cell := finished(rows, method, x))]
        if ready:
            found.append((method.cell(ready[0].compression), ready[0].told))
    return found


def _measure(pairs: Sequence[tuple[str, str]], log: ClickLog, rounds: int) -> list[dict[str, Any]]:
    tasks = {"full": _step(FULL, log)} | {cell: _step(json.loads(told), log) for cell, told in pairs}
    seconds, conditions = in_turns(tasks, rounds)
    measured = []
    for cell, told in pairs:
        ratios = [own / full for own, full in zip(seconds[cell], seconds["full"], strict=True)]
        step, full = (f"{1000 * statistics.median(seconds[name]):.4g}" for name in (cell, "full"))
        row = {"cell": cell, "settings": told, "step_ms": step, "full_ms": full}
        measured.append(row | {"ratio": f"{statistics.median(ratios):.3f}", "conditions": conditions})
    return measured


def _step(settings: Mapping[str, Any], log: ClickLog) -> Task:
    """A step as `train` makes it, on one of a few batches that are in memory."""
    config = completed(config_from({**training_flags(settings), "batch_size": BATCH, "threads": THREADS}), log.manifest)
    shape, ids = Shape.of(log.manifest, config), build_ids(log, config)
    columns = shape.columns(log.manifest)
    model = build_model(shape, [ids.num_embeddings[i] for i in columns], config).train()
    optimizers = Optimizers(model, config.training)
    batches = log.batches("train", ids, BATCH, features=columns, shuffle=True)
    pool = [split_batch(batch, torch.device("cpu")) for batch in islice(batches, POOL)]

    def step(round_number: int) -> None:
        inputs, labels = pool[round_number % len(pool)]
        binary_cross_entropy_with_logits(forward(model, inputs, labels), labels).backward()
        optimizers.step(1.0)

    return step
