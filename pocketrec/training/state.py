"""What a run has done so far, and what it gives back at the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .metrics import Metrics

Row = dict[str, float | int | None]
"""One evaluation in the history: column name -> value."""
ShouldStop = Callable[[Sequence[Row]], bool]
"""Asked after each evaluation, with the history so far."""


@dataclass(frozen=True)
class Result:
    """A finished run. The model holds the weights of the best evaluation (without validation data: the last ones)."""

    steps: int
    """Optimiser steps done."""
    steps_to_best: int
    """Steps done at the best evaluation."""
    best_validation_auc: float
    """nan without validation data, or where AUC is undefined."""
    best_validation_log_loss: float
    """Log loss, in nats, at the same evaluation."""
    seconds: float
    """Wall time of the training steps, data included, over all resumed parts; without evaluations and checkpoints."""
    evaluation_seconds: float
    """Wall time of the evaluations."""
    samples_per_second: float
    """Training examples per second of `seconds`."""
    history: list[Row]
    """One row per evaluation, as in `history.csv`."""
    stopped_early: bool
    """Whether the patience ran out before the last epoch."""
    threads: int
    """CPU threads of torch."""
    stopped_by_caller: bool = False
    """Whether `should_stop` ended it."""
    already_finished: bool = False
    """Whether nothing was trained, since the folder held this run finished."""


@dataclass
class RunState:
    """Everything about a run that changes from step to step, but for weights and random generators."""

    step: int = 0
    samples: int = 0
    seconds: float = 0.0
    evaluation_seconds: float = 0.0
    loss_sum: float = 0.0
    """Over the steps since the last evaluation."""
    loss_count: int = 0
    best_step: int | None = None
    best_auc: float = math.nan
    best_log_loss: float = math.nan
    evaluations_without_gain: int = 0
    stopped_early: bool = False
    stopped_by_caller: bool = False
    finished: bool = False
    history: list[Row] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint."""
        return asdict(self)

    @property
    def stopped(self) -> bool:
        """Before the last epoch, for whichever reason."""
        return self.stopped_early or self.stopped_by_caller

    @property
    def train_loss(self) -> float:
        """Mean loss since the last evaluation; nan before the first step after it."""
        return self.loss_sum / self.loss_count if self.loss_count else math.nan

    @property
    def samples_per_second(self) -> float:
        """Over the whole run; 0 before the first step."""
        return self.samples / self.seconds if self.seconds else 0.0

    def record(self, metrics: Metrics, *, epoch: float, rates: tuple[float, float], seconds: float) -> bool:
        """Add an evaluation to the history; True when its AUC is the best so far."""
        self.evaluation_seconds += seconds
        self.history.append(
            {
                "step": self.step,
                "epoch": epoch,
                "train_loss": self.train_loss,
                "validation_auc": metrics.auc,
                "validation_log_loss": metrics.log_loss,
                "calibration": metrics.calibration,
                "normalized_entropy": metrics.normalized_entropy,
                "embedding_learning_rate": rates[0],
                "dense_learning_rate": rates[1],
                "samples": self.samples,
                "seconds": self.seconds,
                "evaluation_seconds": self.evaluation_seconds,
            }
        )
        self.loss_sum, self.loss_count = 0.0, 0
        if math.isnan(metrics.auc) or metrics.auc <= self.best_auc:
            # An undefined AUC says nothing about whether the model still learns.
            self.evaluations_without_gain += not math.isnan(metrics.auc)
            return False
        self.best_step, self.best_auc, self.best_log_loss = self.step, metrics.auc, metrics.log_loss
        self.evaluations_without_gain = 0
        return True

    def result(self, threads: int, *, already_finished: bool = False) -> Result:
        """What the run gives back."""
        return Result(
            steps=self.step,
            steps_to_best=self.step if self.best_step is None else self.best_step,
            best_validation_auc=self.best_auc,
            best_validation_log_loss=self.best_log_loss,
            seconds=self.seconds,
            evaluation_seconds=self.evaluation_seconds,
            samples_per_second=self.samples_per_second,
            history=self.history,
            stopped_early=self.stopped_early,
            threads=threads,
            stopped_by_caller=self.stopped_by_caller,
            already_finished=already_finished,
        )
