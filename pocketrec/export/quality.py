"""How good a run is as it is served, and what that costs against how it was trained."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from pocketrec.data import ClickLog
from pocketrec.runs import TrainedRun, evaluate_run

_TOLD = ("rows", "auc", "log_loss", "calibration")


def measure(run: TrainedRun, served: TrainedRun, log: ClickLog, dtype: str) -> dict[str, Any]:
    """Quality as served in `dtype`, on the splits that the log has; for the validation split also as it was trained."""
    told: dict[str, Any] = {}
    for split in ("validation", "test"):
        if log.manifest.rows[split]:
            told[split] = _measured(served, log, split)
    if "validation" in told:
        same = dtype == run.config.precision == "float32"
        before = told["validation"] if same else _measured(run, log, "validation")
        told["validation"] |= {
            "trained_in": run.config.precision,
            "auc_as_trained": before["auc"],
            "auc_float32": before["auc"] if run.config.precision == "float32" else None,
            "auc_change": _difference(told["validation"]["auc"], before["auc"]),
            "log_loss_change": _difference(told["validation"]["log_loss"], before["log_loss"]),
        }
    return told


def _measured(run: TrainedRun, log: ClickLog, split: str) -> dict[str, float | int | None]:
    """What a split of one class cannot give is None."""
    metrics = asdict(evaluate_run(run, log, split, "cpu"))
    return {name: metrics[name] if math.isfinite(metrics[name]) else None for name in _TOLD}


def _difference(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before
