"""Real rows of a log: as the model sees them, and as the log has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pocketrec.data import ClickLog
from pocketrec.data.manifest import Manifest
from pocketrec.errors import DataError
from pocketrec.hashing import BLANK_ID
from pocketrec.runs import TrainedRun

ROWS = 2048
"""Rows that an export is checked on."""
EXAMPLES = 8
_LARGEST = float(np.log(np.finfo(np.float32).max)) * (1 - 1e-6)
"""Of log(1 + x): a log may hold larger numbers than float32, which no artifact is asked about."""
_WHOLE = 1 << 53
"""Below which float64 holds every whole number."""
_SPLITS = ("validation", "test", "train")


@dataclass(frozen=True)
class Rows:
    """n rows of a log."""

    split: str
    dense: np.ndarray
    """(n, n_dense) float64, raw."""
    ids: np.ndarray
    """(n, F) int64, raw."""
    probabilities: np.ndarray
    """(n,) float32, what the model says of them."""


def score_rows(run: TrainedRun, log: ClickLog, n: int = ROWS) -> Rows:
    """The first rows of the validation split, or of another one where that is empty, scored by the run's model.

    Raises:
        DataError: a log without rows.
    """
    split = next((name for name in _SPLITS if log.manifest.rows[name]), None)
    if split is None:
        raise DataError(f"{log.folder}: has no rows to check the export on")
    columns = run.shape.columns(log.manifest)
    transformed, ids, _ = next(iter(log.batches(split, run.ids, n, features=columns)))
    _, raw_ids, _ = next(iter(log.batches(split, log.raw_ids(), n, features=columns)))
    taken = (transformed <= _LARGEST).all(dim=1)
    transformed, ids, raw_ids = transformed[taken], ids[taken], raw_ids[taken]
    model = run.model.cpu().eval()
    with torch.no_grad():
        probabilities = torch.sigmoid(model(transformed, ids).reshape(-1).float())
    dense = raw_dense(transformed.numpy(), integers=log.manifest.format == "criteo")
    return Rows(split, dense, raw_ids.numpy(), probabilities.numpy())


def raw_dense(transformed: np.ndarray, *, integers: bool) -> np.ndarray:
    """What log(1 + max(x, 0)) was taken of, up to the rounding of float32; a blank and a negative number are 0."""
    values = np.expm1(transformed.astype(np.float64))
    return np.rint(values) if integers else values


def examples_of(rows: Rows, run: TrainedRun, manifest: Manifest) -> list[dict[str, Any]]:
    """Some of the rows, from the least probable to the most, with their raw values by name, as JSON says them."""
    order = np.argsort(rows.probabilities, kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, min(EXAMPLES, len(order))).round().astype(int)]
    kinds = [manifest.id_kinds[column] for column in run.shape.columns(manifest)]
    told = []
    for i in chosen:
        row = {name: _as_logged(value) for name, value in zip(run.shape.dense, rows.dense[i], strict=True)}
        row |= _categorical(run.shape.features, kinds, rows.ids[i])
        told.append({"row": row, "probability": float(rows.probabilities[i])})
    return told


def _as_logged(value: np.float64) -> int | float:
    """The number of the fewest digits that a log holds the same of: most often the one that was read."""
    held = np.float32(np.log1p(value))
    short = next(v for v in (float(f"{value:.{n}g}") for n in range(1, 18)) if np.float32(np.log1p(v)) == held)
    return int(short) if short.is_integer() and short < _WHOLE else short


def _categorical(names: Sequence[str], kinds: Sequence[str], ids: np.ndarray) -> dict[str, Any]:
    return {name: _raw_value(kind, int(value)) for name, kind, value in zip(names, kinds, ids, strict=True)}


def _raw_value(kind: str, raw_id: int) -> Any:
    """The text whose hash an id is is not known any more: it is told as the id itself."""
    if raw_id == BLANK_ID:
        return None
    return {"hex": f"{raw_id:08x}", "integer": raw_id}.get(kind, {"id": raw_id})
