"""What happens at which step: the learning rate's factor and the evaluations. Steps count from 1."""

from __future__ import annotations

import math

from .config import TrainConfig


def learning_rate_factor(step: int, total_steps: int, config: TrainConfig) -> float:
    """What the full learning rates are multiplied by at `step` of `total_steps`: up linearly, then the decay to 0."""
    if step <= config.warmup_steps:
        return step / config.warmup_steps
    if config.decay == "none":
        return 1.0
    # The step after the warm-up trains at the full rate; the last one still moves a little.
    passed = (step - config.warmup_steps - 1) / max(1, total_steps - config.warmup_steps)
    return 1.0 - passed if config.decay == "linear" else 0.5 * (1.0 + math.cos(math.pi * passed))


def evaluation_steps(steps_per_epoch: int, evaluations: int) -> frozenset[int]:
    """After which steps of an epoch (1 .. `steps_per_epoch`) to evaluate; always after the last."""
    return frozenset(math.ceil(steps_per_epoch * k / evaluations) for k in range(1, evaluations + 1))
