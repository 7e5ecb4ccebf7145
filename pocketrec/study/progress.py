"""The live view of a study on stderr: one line that renews itself on a terminal, a line per finished run elsewhere."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from textwrap import shorten
from typing import Any

from tqdm import tqdm

from pocketrec.study.cell import cell_of
from pocketrec.study.rows import Row, number_of
from pocketrec.study.trials import FINAL, FIRST_SEED, Trial

_ERROR = 100
"""Characters of an error that are shown; the row has all of it."""
_LAYOUT = "{desc} |{bar}| {n_fmt}/{total_fmt} runs{postfix}"


class View:
    """Runs done and to be done, time left, the best so far, what is running. Silent unless `enabled`."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._bar = None
        if enabled and sys.stderr.isatty():
            self._bar = tqdm(desc="study", total=1, bar_format=_LAYOUT, dynamic_ncols=True)

    def show(self, done: int, total: int, left: float | None, best: str, running: Iterable[str]) -> None:
        """Renew the line, on a terminal."""
        if self._bar is None:
            return
        self._bar.n, self._bar.total = done, total
        self._bar.set_postfix_str(" · ".join([_left(left), *filter(None, [best, *running])]))

    def finished(self, done: int, total: int, left: float | None, row: Mapping[str, Any]) -> None:
        """One more row is there."""
        self.say(f"{done}/{total}  {describe(row)}  ({_left(left)})")

    def say(self, text: str) -> None:
        """A line of its own."""
        if self._enabled:
            tqdm.write(text, file=sys.stderr)
            sys.stderr.flush()

    def close(self) -> None:
        """End the line."""
        if self._bar is not None:
            self._bar.close()


def describe(row: Mapping[str, Any]) -> str:
    """`robe 100x, adam-3, seed 0, tuning: validation AUC 0.7990, 63 s`."""
    told = f"{cell_of(row).name}, {row['way']}, seed {row['seed']}, {row['phase']}"
    if row["error"]:
        return f"{told}: {shorten(row['error'], _ERROR, placeholder=' ...')}"
    stopped = f", stopped ({row['stopped']})" if row["stopped"] else ""
    return f"{told}: validation AUC {float(row['best_validation_auc']):.4f}, {float(row['seconds']):.0f} s{stopped}"


def best_of(rows: Sequence[Row]) -> str:
    """The best validation AUC so far and whose it is."""
    scored = [row for row in rows if row["best_validation_auc"]]
    if not scored:
        return ""
    best = max(scored, key=lambda row: float(row["best_validation_auc"]))
    return f"best {float(best['best_validation_auc']):.4f} ({cell_of(best).name})"


def left_seconds(rows: Sequence[Row], to_do: Sequence[Trial], unknown: int, jobs: int) -> float | None:
    """A guess at the time left: what is to do costs what others of its way did; `unknown` more cost the mean.

    A first final costs next to nothing: it was trained in tuning. None before there is anything to go by.
    """
    seconds = [(row["way"], cost) for row in rows if (cost := number_of(row, "seconds")) is not None]
    if not seconds:
        return None
    mean = statistics.fmean(cost for _, cost in seconds)
    total = mean * unknown
    for trial in to_do:
        own = [cost for way, cost in seconds if way == trial.way.name]
        cheap = trial.phase == FINAL and trial.seed == FIRST_SEED
        total += 0.0 if cheap else statistics.fmean(own) if own else mean
    return total / jobs


def _left(seconds: float | None) -> str:
    return "time left unknown" if seconds is None else f"{tqdm.format_interval(seconds)} left"
