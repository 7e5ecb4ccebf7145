"""TrainConfig: everything about a training run that is neither the model nor the data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch

from pocketrec.errors import UsageError, one_of
from pocketrec.hashing import ID_LIMIT

DEFAULT_LEARNING_RATES = {"adam": 1e-3, "adagrad": 1e-2, "sgd": 1e-1}
"""Used where neither a part's own learning rate nor the common one is given."""

DECAYS = ("none", "linear", "cosine")

MAX_THREADS = 1024

_CADENCE = ("checkpoint_steps", "checkpoint_seconds")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to train. Raises UsageError, naming the field, its rule and the value, for one that makes no sense."""

    epochs: int = 10
    """Passes over the training data, at most: early stopping may end before."""
    embedding_optimizer: str = "adam"
    """`adam`, `adagrad` or `sgd`, for the parameters of embeddings (`torch.optim.SparseAdam` for row-sparse ones)."""
    dense_optimizer: str = "adam"
    """`adam`, `adagrad` or `sgd`, for all other parameters."""
    learning_rate: float | None = None
    """For both parts; None takes each optimiser's default (adam 0.001, adagrad 0.01, sgd 0.1)."""
    embedding_learning_rate: float | None = None
    """For embeddings; None takes `learning_rate`."""
    dense_learning_rate: float | None = None
    """For all other parameters; None takes `learning_rate`."""
    embedding_weight_decay: float = 0.0
    """L2 penalty of embeddings; must be 0 where their gradients are row-sparse."""
    dense_weight_decay: float = 0.0
    """L2 penalty of all other parameters."""
    warmup_steps: int = 0
    """Steps in which the learning rates rise linearly from near 0 to their full value."""
    decay: str = "none"
    """After the warm-up: `none`, or `linear` or `cosine` down to 0 at the end of the last epoch."""
    evaluations_per_epoch: int = 4
    """Evaluations on the validation data in each epoch, evenly spread; the last at the epoch's end."""
    patience: int | None = 4
    """Stop after so many evaluations in a row without a better validation AUC; None never stops early."""
    seed: int = 0
    """Seeds the global generators of torch, numpy and random when the run starts (dropout, a DataLoader's shuffle)."""
    threads: int | None = None
    """CPU threads of torch; None keeps the present number. A resumed run goes on with the number it began with."""
    device: str = "cpu"
    """Where to train: `cpu`, `cuda`, `cuda:1`, ..."""
    checkpoint_steps: int | None = None
    """Write a checkpoint every so many steps; None writes by time only."""
    checkpoint_seconds: float = 60.0
    """Write a checkpoint after so many seconds, and after an evaluation; rarer if writing takes over 5 % of a run."""

    def __post_init__(self) -> None:
        for name in ("epochs", "evaluations_per_epoch"):
            self._whole(name, at_least=1)
        self._whole("warmup_steps", at_least=0)
        self._whole("seed", at_least=0, below=ID_LIMIT)
        for name, below in (("patience", None), ("threads", MAX_THREADS + 1), ("checkpoint_steps", None)):
            if getattr(self, name) is not None:
                self._whole(name, at_least=1, below=below)
        for name in ("learning_rate", "embedding_learning_rate", "dense_learning_rate"):
            if getattr(self, name) is not None:
                self._number(name, above=0.0)
        for name in ("embedding_weight_decay", "dense_weight_decay", "checkpoint_seconds"):
            self._number(name, at_least=0.0)
        for name in ("embedding_optimizer", "dense_optimizer"):
            self._choice(name, tuple(DEFAULT_LEARNING_RATES))
        self._choice("decay", DECAYS)
        self._check_device()

    def learning_rates(self) -> tuple[float, float]:
        """The full learning rates of the embeddings and of everything else."""
        rates = []
        for part in ("embedding", "dense"):
            own = getattr(self, f"{part}_learning_rate")
            given = own if own is not None else self.learning_rate
            rates.append(given if given is not None else DEFAULT_LEARNING_RATES[getattr(self, f"{part}_optimizer")])
        return rates[0], rates[1]

    def what_decides_the_result(self) -> dict[str, Any]:
        """All fields but how often to write checkpoints: a resumed run must agree on these."""
        return {name: value for name, value in asdict(self).items() if name not in _CADENCE}

    def _whole(self, name: str, *, at_least: int, below: int | None = None) -> None:
        value = getattr(self, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
            raise UsageError(f"{name}: must be a whole number of at least {at_least}, got {value!r}")
        if below is not None and value >= below:
            raise UsageError(f"{name}: must be at most {below - 1}, got {value}")

    def _number(self, name: str, *, above: float = -math.inf, at_least: float = -math.inf) -> None:
        value = getattr(self, name)
        ok = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not ok or value <= above or value < at_least:
            rule = f"above {above:g}" if above > -math.inf else f"of at least {at_least:g}"
            raise UsageError(f"{name}: must be a finite number {rule}, got {value!r}")

    def _choice(self, name: str, known: tuple[str, ...]) -> None:
        one_of(name, getattr(self, name), known)

    def _check_device(self) -> None:
        # Whether this machine has it is asked when training starts: a run's config is readable anywhere.
        try:
            torch.device(self.device)
        except (RuntimeError, TypeError):
            raise UsageError(f"device: must be a torch device such as cpu or cuda:0, got {self.device!r}") from None
