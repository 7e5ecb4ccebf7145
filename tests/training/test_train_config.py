"""TrainConfig refuses nonsense by name; the schedule does what it says."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pocketrec.errors import UsageError
from pocketrec.training import TrainConfig, evaluate, train
from pocketrec.training.schedule import evaluation_steps, learning_rate_factor


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("epochs", 0, "epochs: must be a whole number of at least 1, got 0"),
        ("epochs", 1.5, "epochs: must be a whole number of at least 1, got 1.5"),
        ("epochs", True, "epochs: must be a whole number of at least 1, got True"),
        ("evaluations_per_epoch", 0, "evaluations_per_epoch: must be a whole number of at least 1, got 0"),
        ("patience", 0, "patience: must be a whole number of at least 1, got 0"),
        ("threads", -1, "threads: must be a whole number of at least 1, got -1"),
        ("warmup_steps", -1, "warmup_steps: must be a whole number of at least 0, got -1"),
        ("seed", "7", "seed: must be a whole number of at least 0, got '7'"),
        ("seed", 1 << 62, f"seed: must be at most {(1 << 62) - 1}, got {1 << 62}"),
        ("threads", 1025, "threads: must be at most 1024, got 1025"),
        ("learning_rate", 0.0, "learning_rate: must be a finite number above 0, got 0.0"),
        ("embedding_learning_rate", -0.1, "embedding_learning_rate: must be a finite number above 0, got -0.1"),
        ("dense_learning_rate", float("nan"), "dense_learning_rate: must be a finite number above 0, got nan"),
        ("learning_rate", float("inf"), "learning_rate: must be a finite number above 0, got inf"),
        ("dense_weight_decay", -1, "dense_weight_decay: must be a finite number of at least 0, got -1"),
        ("checkpoint_seconds", None, "checkpoint_seconds: must be a finite number of at least 0, got None"),
        ("embedding_optimizer", "adagard", "embedding_optimizer: unknown name 'adagard': did you mean 'adagrad'?"),
        ("dense_optimizer", "lbfgs", "dense_optimizer: unknown name 'lbfgs': choose from adagrad, adam, sgd"),
        ("decay", "linaer", "decay: unknown name 'linaer': did you mean 'linear'?"),
        ("device", "tpu9", "device: must be a torch device such as cpu or cuda:0, got 'tpu9'"),
    ],
)
def test_a_bad_field_is_named_with_its_rule_and_value(field: str, value: Any, message: str) -> None:
    with pytest.raises(UsageError) as error:
        TrainConfig(**{field: value})
    assert str(error.value) == message


@pytest.mark.parametrize(
    "device",
    [
        "meta",
        pytest.param("mps", marks=pytest.mark.skipif(torch.backends.mps.is_available(), reason="has MPS")),
        pytest.param("xpu", marks=pytest.mark.skipif(torch.xpu.is_available(), reason="has XPU")),
        pytest.param("cuda", marks=pytest.mark.skipif(torch.cuda.is_available(), reason="has CUDA")),
    ],
)
def test_a_device_is_tried_when_training_starts(device: str, tmp_path: Path) -> None:
    config = TrainConfig(device=device)  # readable on any machine
    data = [(torch.zeros(2, 1), torch.tensor([0.0, 1.0]))]
    with pytest.raises(UsageError, match=f"device: '{device}' cannot compute here"):
        train(nn.Linear(1, 1), data, config=config, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError, match=f"device: '{device}' cannot compute here"):
        evaluate(nn.Linear(1, 1), data, device=device)


def test_it_is_frozen_and_keyword_only() -> None:
    with pytest.raises(FrozenInstanceError):
        TrainConfig().epochs = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        TrainConfig(3)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (1e-3, 1e-3)),
        ({"embedding_optimizer": "adagrad", "dense_optimizer": "sgd"}, (1e-2, 1e-1)),
        ({"learning_rate": 0.5}, (0.5, 0.5)),
        ({"learning_rate": 0.5, "embedding_learning_rate": 0.25}, (0.25, 0.5)),
        ({"dense_learning_rate": 0.25}, (1e-3, 0.25)),
    ],
)
def test_learning_rates(given: dict[str, Any], expected: tuple[float, float]) -> None:
    assert TrainConfig(**given).learning_rates() == expected


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        ("none", [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25]),
        ("cosine", [0.25, 0.5, 0.75, 1.0, 1.0, 0.853553, 0.5, 0.146447]),
    ],
)
def test_learning_rate_rises_then_decays(decay: str, expected: list[float]) -> None:
    config = TrainConfig(warmup_steps=4, decay=decay)
    assert [learning_rate_factor(step, 8, config) for step in range(1, 9)] == pytest.approx(expected, abs=1e-6)


def test_a_warmup_longer_than_the_run_never_decays() -> None:
    config = TrainConfig(warmup_steps=10, decay="linear")
    assert [learning_rate_factor(step, 5, config) for step in (1, 5)] == [0.1, 0.5]


@pytest.mark.parametrize(
    ("steps", "evaluations", "expected"),
    [(8, 2, {4, 8}), (10, 4, {3, 5, 8, 10}), (3, 4, {1, 2, 3}), (1, 1, {1}), (7, 1, {7})],
)
def test_evaluations_are_spread_and_end_with_the_epoch(steps: int, evaluations: int, expected: set[int]) -> None:
    assert evaluation_steps(steps, evaluations) == expected
