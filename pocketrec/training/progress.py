"""The live progress on stderr: one line that renews itself on a terminal, a sparse log elsewhere."""

from __future__ import annotations

import math
import sys
import time

from tqdm import tqdm

from .state import RunState

_REDRAW_SECONDS = 0.2
_LOG_SECONDS = 30.0


class ProgressLine:
    """Step, loss, last validation AUC, samples/s and time left. Silent unless `enabled`."""

    def __init__(self, total_steps: int, done_steps: int, *, enabled: bool) -> None:
        self._enabled = enabled
        self._total = total_steps
        self._first = done_steps
        self._started = self._shown = time.monotonic()
        self._bar = None
        if enabled and sys.stderr.isatty():
            layout = "{desc}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
            self._bar = tqdm(
                total=total_steps, initial=done_steps, desc="training", bar_format=layout, dynamic_ncols=True
            )

    def step(self, state: RunState) -> None:
        """Called after every step; cheap."""
        if not self._enabled:
            return
        now = time.monotonic()
        if self._bar is not None and now - self._shown >= _REDRAW_SECONDS:
            self._draw(state, now)
        elif self._bar is None and now - self._shown >= _LOG_SECONDS:
            self._log(state, now)

    def evaluated(self, state: RunState) -> None:
        """Called after every evaluation: always shows."""
        if not self._enabled:
            return
        now = time.monotonic()
        if self._bar is not None:
            self._draw(state, now)
        else:
            self._log(state, now)

    def say(self, text: str) -> None:
        """One line of text, above the bar."""
        if self._enabled:
            tqdm.write(text, file=sys.stderr)

    def close(self) -> None:
        """Leave the bar as it stands and end its line."""
        if self._bar is not None:
            self._bar.close()

    def _draw(self, state: RunState, now: float) -> None:
        assert self._bar is not None
        self._shown = now
        self._bar.n = state.step
        self._bar.set_postfix_str(", ".join(_figures(state)))

    def _log(self, state: RunState, now: float) -> None:
        self._shown = now
        done = state.step - self._first
        left = (self._total - state.step) * (now - self._started) / done if done else math.nan
        parts = [f"step {state.step}/{self._total}", *_figures(state)]
        if math.isfinite(left):
            parts.append(f"{tqdm.format_interval(left)} left at most")
        self.say("  ".join(parts))


def _figures(state: RunState) -> list[str]:
    last = state.history[-1] if state.history else {}
    loss = state.train_loss if state.loss_count else last.get("train_loss", math.nan)
    auc = last.get("validation_auc")
    shown = [f"loss {loss:.4f}", f"{state.samples_per_second:,.0f} samples/s"]
    return shown if auc is None else [shown[0], f"AUC {auc:.4f}", shown[1]]
