"""Metrics against computations by hand."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pocketrec.errors import DataError, TrainingError, UsageError
from pocketrec.training import evaluate
from pocketrec.training.metrics import metrics_of


def auc_by_hand(scores: list[float], labels: list[float]) -> float:
    """The share of (clicked, not clicked) pairs in the right order, ties half."""
    clicked = [score for score, label in zip(scores, labels, strict=True) if label]
    others = [score for score, label in zip(scores, labels, strict=True) if not label]
    right = sum((a > b) + (a == b) / 2 for a, b in itertools.product(clicked, others))
    return right / (len(clicked) * len(others))


def test_metrics_of_four_rows_by_hand() -> None:
    odds = torch.tensor([0.8, 0.6, 0.3, 0.1])
    metrics = metrics_of(torch.logit(odds), torch.tensor([1.0, 0.0, 1.0, 0.0]))
    log_loss = -(math.log(0.8) + math.log(0.4) + math.log(0.3) + math.log(0.9)) / 4
    assert metrics.rows == 4
    assert metrics.auc == pytest.approx(3 / 4)
    assert metrics.log_loss == pytest.approx(log_loss, rel=1e-6)
    assert metrics.calibration == pytest.approx(0.45 / 0.5, rel=1e-6)
    assert metrics.normalized_entropy == pytest.approx(log_loss / math.log(2), rel=1e-6)
    assert metrics.note == ""


@pytest.mark.parametrize("seed", range(5))
def test_auc_with_ties_is_the_pairwise_one(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randint(-5, 5, (200,), generator=generator).float()
    labels = torch.randint(2, (200,), generator=generator).float()
    assert metrics_of(logits, labels).auc == pytest.approx(auc_by_hand(logits.tolist(), labels.tolist()), abs=1e-6)


def test_large_logits_keep_their_order() -> None:
    metrics = metrics_of(torch.tensor([20.0, 21.0, 19.0, 22.0]), torch.tensor([0.0, 1.0, 0.0, 1.0]))
    assert metrics.auc == 1.0


@pytest.mark.parametrize(("label", "calibration"), [(0.0, math.nan), (1.0, 0.5)])
def test_one_class_gives_nan_and_a_note(label: float, calibration: float) -> None:
    metrics = metrics_of(torch.zeros(3), torch.full((3,), label))
    assert math.isnan(metrics.auc)
    assert math.isnan(metrics.normalized_entropy)
    assert metrics.log_loss == pytest.approx(math.log(2))
    assert metrics.calibration == pytest.approx(calibration, nan_ok=True)
    assert metrics.note == f"all 3 labels are {label:.0f}: AUC and normalised entropy are undefined"


class Identity(nn.Module):
    """Its input is its logits; shifted by one while training."""

    def forward(self, logits: Tensor) -> Tensor:
        return logits + float(self.training)


def batches(*sizes: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(size, generator=generator), torch.randint(2, (size,), generator=generator).double())
        for size in sizes
    ]


def test_batches_of_any_size_are_one_data_set_in_evaluation_mode() -> None:
    data = batches(5, 1, 0, 64)
    model = Identity().train()
    expected = metrics_of(torch.cat([x for x, _ in data]), torch.cat([y for _, y in data]))
    assert evaluate(model, data) == expected
    assert model.training


def test_column_shaped_logits_and_labels_are_fine() -> None:
    data = batches(40)
    columns = [(logits[:, None], labels[:, None]) for logits, labels in data]
    assert evaluate(Identity(), columns) == evaluate(Identity(), data)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([], DataError, "evaluate: the data hold no rows"),
        ([(torch.zeros(2), torch.tensor([1.0, 2.0]))], DataError, "labels must be 0 or 1, got 2 in row 1"),
        (
            [(torch.tensor([0.0, math.nan]), torch.ones(2))],
            TrainingError,
            r"1 of 2 predictions .*: input 0 .* at \[1\]",
        ),
        ([(torch.zeros(3, 2), torch.ones(3))], UsageError, r"logits of shape \(3,\), got a tensor of shape \(3, 2\)"),
        ([torch.zeros(3)], UsageError, r"a batch must be \(\*inputs, labels\).*got a tensor of shape \(3,\)"),
        ([(torch.zeros(3),)], UsageError, "got a tuple of 1"),
        ([{"x": 1}], UsageError, "got a dict"),
    ],
)
def test_bad_data_are_named(data: list[Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        evaluate(Identity(), data)
