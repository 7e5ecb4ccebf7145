"""One training run: the loop over steps, and what happens between them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from pocketrec.errors import TrainingError

from . import checkpoint, random_state
from .batches import forward, split_batch
from .best import BestWeights
from .config import TrainConfig
from .device import usable_device
from .epochs import Epochs
from .interrupt import Interrupts
from .losses import LossMonitor, check_labels, check_weights
from .metrics import evaluate
from .optimizers import Optimizers
from .progress import ProgressLine
from .run_folder import RunFolder
from .schedule import evaluation_steps, learning_rate_factor
from .state import Result, RunState, ShouldStop
from .tensorboard import log_row, open_tensorboard


class Run:
    """A model, its data, and how far its training is."""

    def __init__(
        self,
        model: nn.Module,
        train_data: Iterable[Any],
        validation_data: Iterable[Any] | None,
        config: TrainConfig,
        out: Path | None,
        identity: dict[str, Any],
        should_stop: ShouldStop | None = None,
    ) -> None:
        self.model, self.validation_data, self.config = model, validation_data, config
        self.should_stop = should_stop
        self.epochs = Epochs(train_data)
        self.total_steps = config.epochs * self.epochs.steps
        self.evaluate_after = evaluation_steps(self.epochs.steps, config.evaluations_per_epoch)
        self.device = usable_device(config.device)
        self.optimizers = Optimizers(model.to(self.device), config)
        # A gradient left from before would count in the first step, and not in that of a resumed run.
        model.zero_grad(set_to_none=True)
        self.state = RunState()
        self.best = BestWeights(out)
        self.tensorboard: Any = None
        description = {
            "config": config.what_decides_the_result(),
            "identity": identity,
            "steps_per_epoch": self.epochs.steps,
            "validated": validation_data is not None,
            "model": checkpoint.model_description(model),
        }
        self.folder = RunFolder(out, config, description)

    def run(self, *, resume: bool, progress: bool, log_to_tensorboard: bool) -> Result:
        """Start or go on, to the end."""
        if self.config.threads is not None:
            torch.set_num_threads(self.config.threads)
        found = self.folder.read(resume=resume)
        if found is not None:
            self._restore(found)
        self.losses = LossMonitor(self.state, self.config, self.device)
        self.progress = ProgressLine(self.total_steps, self.state.step, enabled=progress)
        try:
            if self.state.finished:
                return self._already_finished()
            if log_to_tensorboard and self.folder.path is not None:
                self.tensorboard = open_tensorboard(self.folder.path / "tensorboard", self.state.step)
            self._begin(found, resume)
            with Interrupts() as self.interrupts:
                while self.state.step < self.total_steps and not self.state.stopped:
                    self._train_epoch()
            return self._finish()
        except TrainingError as error:
            raise type(error)(f"{error} ({self.folder.after_an_error()})") from error
        finally:
            self.progress.close()
            if self.tensorboard is not None:
                self.tensorboard.close()

    def _begin(self, found: dict[str, Any] | None, resume: bool) -> None:
        self.folder.write_history(self.state.history)
        if found is None:
            if resume:
                self.progress.say(f"{self.folder.path} holds no checkpoint yet: starting from the beginning")
            random_state.seed_all(self.config.seed)
            self._save()
            return
        self.progress.say(f"going on from step {self.state.step} of {self.total_steps}")
        if found["torch"] != str(torch.__version__):
            self.progress.say(
                f"the run began with torch {found['torch']}, this is {torch.__version__}: "
                "the last bits of the weights may differ"
            )

    def _train_epoch(self) -> None:
        """The rest of the present epoch."""
        self.model.train()
        mark = time.perf_counter()
        for batch in self.epochs.batches(self.state.step):
            self._train_step(batch)
            evaluating = self._evaluation_is_due()
            if evaluating:
                self.losses.flush()
            self.state.seconds += time.perf_counter() - mark
            self._between_steps(evaluating)
            if self.state.stopped:
                return
            mark = time.perf_counter()

    def _evaluation_is_due(self) -> bool:
        position = (self.state.step - 1) % self.epochs.steps + 1
        return self.validation_data is not None and position in self.evaluate_after

    def _train_step(self, batch: Any) -> None:
        step = self.state.step + 1
        inputs, labels = split_batch(batch, self.device)
        if not labels.numel():
            raise TrainingError(f"the batch of step {step} is empty; drop empty batches from the data")
        if step == 1:
            check_labels(labels, step)
        loss = binary_cross_entropy_with_logits(forward(self.model, inputs, labels), labels)
        self.losses.add(step, loss.detach(), inputs, labels)
        loss.backward()
        self.optimizers.step(learning_rate_factor(step, self.total_steps, self.config))
        self.state.step = step
        self.state.samples += labels.numel()

    def _between_steps(self, evaluating: bool) -> None:
        if evaluating:
            self._evaluate()
        self.progress.step(self.state)
        if self.interrupts.received is not None:
            self._save()
            self.progress.say(
                f"stopped at step {self.state.step}: {self.folder.how_to_go_on()}; resume=True (--resume)"
            )
            self.interrupts.raise_received()
        if self.folder.due(self.state.step, evaluated=evaluating):
            self._save()

    def _evaluate(self) -> None:
        assert self.validation_data is not None
        started = time.perf_counter()
        check_weights(self.model, self.state.step, self.config)
        try:
            metrics = evaluate(self.model, self.validation_data, device=self.device)
        except TrainingError as error:
            raise type(error)(f"after step {self.state.step}: {error}") from error
        factor = learning_rate_factor(self.state.step, self.total_steps, self.config)
        embedding_rate, dense_rate = self.config.learning_rates()
        improved = self.state.record(
            metrics,
            epoch=self.state.step / self.epochs.steps,
            rates=(factor * embedding_rate, factor * dense_rate),
            seconds=time.perf_counter() - started,
        )
        if metrics.note and len(self.state.history) == 1:
            self.progress.say(f"validation: {metrics.note}; so there is no early stopping, and the last weights count")
        if improved:
            self.best.keep(self.model, self.state.step)
        patience = self.config.patience
        self.state.stopped_early = patience is not None and self.state.evaluations_without_gain >= patience
        if self.should_stop is not None:
            self.state.stopped_by_caller = self.should_stop(self.state.history)
        self.folder.write_history(self.state.history)
        if self.tensorboard is not None:
            log_row(self.tensorboard, self.state.history[-1])
        self.progress.evaluated(self.state)

    def _save(self) -> None:
        if self.folder.path is None:
            return
        self.losses.flush()
        check_weights(self.model, self.state.step, self.config)
        self.folder.write(
            {
                "state": self.state.as_dict(),
                "threads": torch.get_num_threads(),
                "random": random_state.capture(),
                "epoch_random": self.epochs.random,
                "model": self.model.state_dict(),
                "optimizers": self.optimizers.state_dict(),
            }
        )
        self.best.forget_others(self.state.best_step)

    def _restore(self, found: dict[str, Any]) -> None:
        self.state = RunState(**found["state"])
        torch.set_num_threads(found["threads"])
        if self.state.finished:
            return
        self.model.load_state_dict(found["model"])
        self.optimizers.load_state_dict(found["optimizers"])
        self.epochs.random = found["epoch_random"]
        random_state.restore(found["random"])

    def _finish(self) -> Result:
        self.losses.flush()
        if self.state.best_step not in (None, self.state.step):
            self.best.restore(self.model, self.state.best_step)
        check_weights(self.model, self.state.step, self.config)
        self.folder.write_model(self.model.state_dict())
        self.state.finished = True
        # A finished run needs its weights once, in model.pt.
        self.folder.write({"state": self.state.as_dict(), "threads": torch.get_num_threads()})
        self.best.forget_others(None)
        return self.state.result(torch.get_num_threads())

    def _already_finished(self) -> Result:
        assert self.folder.path is not None
        checkpoint.load_weights(self.model, self.folder.path)
        self.best.forget_others(None)
        self.progress.say(
            f"{self.folder.path} holds this run, finished after {self.state.step} steps: nothing to train"
        )
        return self.state.result(torch.get_num_threads(), already_finished=True)
