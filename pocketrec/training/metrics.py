"""How good a click model is: AUC, log loss, calibration and normalised entropy."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pocketrec.errors import DataError, DivergedError, TrainingError

from .batches import first_not_finite, forward, split_batch
from .device import usable_device


@dataclass(frozen=True)
class Metrics:
    """Quality on one data set. A metric that the data cannot give is nan, and `note` says why."""

    rows: int
    """Labelled examples."""
    auc: float
    """Area under the ROC curve, exact, ties counted half: 0 to 1."""
    log_loss: float
    """Mean negative log likelihood, in nats."""
    calibration: float
    """Mean prediction / click rate; 1 is calibrated."""
    normalized_entropy: float
    """Log loss / the log loss of always predicting the click rate; below 1 is better than that (He et al. 2014)."""
    note: str = ""


def evaluate(model: nn.Module, data: Iterable[Any], *, device: str | torch.device | None = None) -> Metrics:
    """Score all batches `(*inputs, labels)` of `data` with the model, which returns logits; labels are 0 or 1.

    The model is put in evaluation mode, and back. `device`: None takes that of the model's first parameter.
    Raises DataError for data without rows or labels other than 0 and 1, TrainingError for predictions that are not
    numbers.
    """
    where = usable_device(device) if device is not None else _device_of(model)
    model.to(where)
    was_training = model.training
    model.eval()
    logits, labels = [], []
    try:
        with torch.no_grad():
            for batch in data:
                inputs, batch_labels = split_batch(batch, where)
                if not batch_labels.numel():
                    continue
                logits.append(forward(model, inputs, batch_labels).cpu())
                _check_finite(logits[-1], inputs)
                labels.append(batch_labels.cpu())
    finally:
        model.train(was_training)
    if not labels:
        raise DataError("evaluate: the data hold no rows; check that the split is not empty")
    return metrics_of(torch.cat(logits), torch.cat(labels))


def metrics_of(logits: Tensor, labels: Tensor) -> Metrics:
    """Metrics of logits (N,) against labels (N,) of 0 and 1, computed in float64."""
    _check(logits, labels)
    logits, labels = logits.double(), labels.double()
    predictions = torch.sigmoid(logits)
    click_rate = labels.mean().item()
    log_loss = nn.functional.binary_cross_entropy_with_logits(logits, labels).item()
    mean_prediction = predictions.mean().item()
    if click_rate in (0.0, 1.0):
        note = f"all {len(labels)} labels are {click_rate:.0f}: AUC and normalised entropy are undefined"
        calibration = mean_prediction / click_rate if click_rate else math.nan
        return Metrics(len(labels), math.nan, log_loss, calibration, math.nan, note)
    entropy = -click_rate * math.log(click_rate) - (1 - click_rate) * math.log1p(-click_rate)
    return Metrics(
        rows=len(labels),
        auc=_auc(predictions, labels),
        log_loss=log_loss,
        calibration=mean_prediction / click_rate,
        normalized_entropy=log_loss / entropy,
    )


def _auc(predictions: Tensor, labels: Tensor) -> float:
    # Importing torchmetrics takes half a second, which `import pocketrec` must not.
    from torchmetrics.functional.classification import binary_auroc

    return float(binary_auroc(predictions, labels.long()))


def _check(logits: Tensor, labels: Tensor) -> None:
    wrong = (labels != 0) & (labels != 1)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise DataError(f"evaluate: labels must be 0 or 1, got {labels[row].item():g} in row {row}")


def _check_finite(logits: Tensor, inputs: tuple[Any, ...]) -> None:
    bad = ~torch.isfinite(logits)
    if bad.any():
        told = f"evaluate: {int(bad.sum())} of {len(logits)} predictions of a batch are not finite numbers"
        fault = first_not_finite(inputs)
        if fault:
            raise TrainingError(f"{told}: {fault}")
        raise DivergedError(
            f"{told}: the inputs are finite, so the model diverged: train it again with a lower learning rate"
        )


def _device_of(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
