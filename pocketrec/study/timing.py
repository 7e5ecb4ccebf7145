"""How long a training step takes: each cell at the settings picked for it, in turns with full tables."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from pocketrec.study.cell import FULL, Cell, cell_of
from pocketrec.study.rows import Row
from pocketrec.study.trials import FINAL
from pocketrec.study.turns import Task, in_turns

if TYPE_CHECKING:
    from pocketrec.data import ClickLog

ROUNDS = 40
POOL = 8
"""Batches in memory, taken in turn."""
TOGETHER = 3
"""Cells measured beside full tables; then the next: all are in memory at once."""
Settings = Mapping[str, Any]


def picked(rows: Sequence[Row]) -> dict[Cell, str]:
    """The settings, as JSON, of each cell that has a final."""
    return {cell_of(row): row["settings"] for row in rows if row["phase"] == FINAL and not row["error"]}


def missing(rows: Sequence[Row], timing: Sequence[Row]) -> list[list[Cell]]:
    """The cells to be timed that have no row at their settings, a few at a time; none without full tables."""
    chosen = picked(rows)
    if FULL not in chosen:
        return []
    done = {(cell_of(row), row["settings"]) for row in timing}
    left = [cell for cell, settings in chosen.items() if cell != FULL and (cell, settings) not in done]
    return [left[i : i + TOGETHER] for i in range(0, len(left), TOGETHER)]


def measure(data: str, full: str, cells: Mapping[Cell, str], threads: int, rounds: int) -> list[dict[str, Any]]:
    """Rows of `timing.csv`, but for when and where; settings are JSON. Run it in a process of its own."""
    import torch

    from pocketrec.data import open_log

    torch.set_num_threads(threads)
    log = open_log(data, progress=False)
    tasks = {FULL.name: step_task(json.loads(full), log)}
    sizes = {}
    for cell, settings in cells.items():
        tasks[cell.name] = step_task(json.loads(settings), log)
        sizes[cell] = batch_size(json.loads(settings), log)
    seconds, conditions = in_turns(tasks, rounds)
    rows = []
    for cell, settings in cells.items():
        ratios = [own / other for own, other in zip(seconds[cell.name], seconds[FULL.name], strict=True)]
        own, other = (f"{1000 * statistics.median(seconds[name]):.4g}" for name in (cell.name, FULL.name))
        told = {"scheme": cell.scheme, "compression": f"{cell.compression:g}", "settings": settings}
        times = {"step_ms": own, "full_ms": other, "ratio": f"{statistics.median(ratios):.4g}"}
        how = {"threads": threads, "batch_size": sizes[cell], "rounds": rounds, "conditions": conditions}
        rows.append(told | times | how)
    return rows


def batch_size(settings: Settings, log: ClickLog) -> int:
    """Of the run that has these settings."""
    from pocketrec.runs.build import completed
    from pocketrec.runs.flags import config_from

    size = completed(config_from(settings), log.manifest).batch_size
    assert size is not None
    return size


def step_task(settings: Settings, log: ClickLog) -> Task:
    """A step as `train` makes it, forward, backward and update, on one of a few batches that lie on its device."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    from pocketrec.runs.build import Shape, build_ids, build_model, completed
    from pocketrec.runs.flags import config_from
    from pocketrec.training.batches import forward, split_batch
    from pocketrec.training.device import usable_device
    from pocketrec.training.optimizers import Optimizers

    config = completed(config_from(settings), log.manifest)
    shape, ids = Shape.of(log.manifest, config), build_ids(log, config)
    columns = shape.columns(log.manifest)
    device = usable_device(config.training.device)
    model = build_model(shape, [ids.num_embeddings[i] for i in columns], config).train().to(device)
    optimizers = Optimizers(model, config.training)
    batches = log.batches("train", ids, batch_size(settings, log), features=columns, shuffle=True)
    pool = [split_batch(batch, device) for batch in islice(batches, POOL)]

    def step(round_number: int) -> None:
        inputs, labels = pool[round_number % len(pool)]
        binary_cross_entropy_with_logits(forward(model, inputs, labels), labels).backward()
        optimizers.step(1.0)
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # a step is done when the card has done it

    return step
