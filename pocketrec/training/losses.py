"""The loss of every step, watched: a run stops at the first one that is not a number, and says why it thinks so."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from pocketrec.errors import DivergedError, TrainingError

from .batches import first_not_finite
from .config import TrainConfig
from .state import RunState

_STEPS_BETWEEN_READS_ON_A_DEVICE = 20


class LossMonitor:
    """Adds each loss to the state. Raises TrainingError naming the exact step of one that is not finite, a
    DivergedError where the batch is not to blame.

    On the CPU a loss is read before it changes any weight. Elsewhere reading waits for the device, so losses and their
    batches are kept for a few steps and read together; `flush` reads what is left.
    """

    def __init__(self, state: RunState, config: TrainConfig, device: torch.device) -> None:
        self._state = state
        self._config = config
        self._every = 1 if device.type == "cpu" else _STEPS_BETWEEN_READS_ON_A_DEVICE
        self._pending: list[tuple[int, Tensor, tuple[Any, ...], Tensor]] = []

    def add(self, step: int, loss: Tensor, inputs: tuple[Any, ...], labels: Tensor) -> None:
        """Note the (detached) loss of `step`."""
        self._pending.append((step, loss, inputs, labels))
        if len(self._pending) >= self._every:
            self.flush()

    def flush(self) -> None:
        """Read the losses noted and not yet read."""
        pending, self._pending = self._pending, []
        values = torch.stack([loss for _, loss, _, _ in pending]).tolist() if pending else []
        for value, (step, _, inputs, labels) in zip(values, pending, strict=True):
            if not math.isfinite(value):
                told, fault = f"the loss is {value} at step {step}", _fault_of(inputs, labels)
                if fault:
                    raise TrainingError(f"{told}: {fault}")
                raise DivergedError(f"{told}: {_advice(self._config)}")
            self._state.loss_sum += value
            self._state.loss_count += 1


def check_labels(labels: Tensor, step: int) -> None:
    """Raise TrainingError for labels that no click can have; (soft) labels between 0 and 1 are fine."""
    wrong = ~((labels >= 0) & (labels <= 1))
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise TrainingError(
            f"labels must be 0 or 1, got {labels[row].item():g} at step {step}, row {row} of the batch; clean the data"
        )


def check_weights(model: nn.Module, step: int, config: TrainConfig) -> None:
    """Raise DivergedError when a weight is not finite, so that no such checkpoint is written."""
    for name, parameter in model.named_parameters():
        # A finite sum proves finite terms, at a fraction of the cost of looking at each.
        if not torch.isfinite(parameter.detach().sum()) and not torch.isfinite(parameter.detach()).all():
            raise DivergedError(f"weights in {name} are not finite numbers after step {step}: {_advice(config)}")


def _fault_of(inputs: tuple[Any, ...], labels: Tensor) -> str:
    """What is wrong with a batch; nothing when it is fine."""
    if not torch.isfinite(labels).all():
        return "the labels of this batch hold NaN or infinity; clean the data"
    return first_not_finite(inputs)


def _advice(config: TrainConfig) -> str:
    embedding, dense = config.learning_rates()
    return (
        f"the inputs are finite, so the learning rate is probably too high (embeddings {embedding:g}, "
        f"dense {dense:g}); try a tenth of it, or more warmup_steps"
    )
