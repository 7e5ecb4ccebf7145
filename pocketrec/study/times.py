"""Where a study's time went: `study.json`, added up over all the times it was started."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from pocketrec.files import read_json, write_json
from pocketrec.study.columns import TIMES_FILE

_SAVE_SECONDS = 20.0
WORK = ("training", "validation", "test", "features")
"""What runs are for; the rest is overhead."""


class Times:
    """Seconds. `wall` is all of it, `runs` and `timing` its phases.

    In `runs` there were `slots` seconds, `jobs` times those of the clock. The runs' `processes` lived so many of them,
    the others waited for the last runs; and spent so many in training steps, validation, test and measuring features.
    `overhead` is the part of `slots` that was spent otherwise: on starting, opening the log, building, and waiting.
    """

    def __init__(self, folder: Path, jobs: int) -> None:
        self._path = folder / TIMES_FILE
        self._before = _read(self._path)
        self._jobs = jobs
        self._started = self._marked = self._saved = time.monotonic()
        self._spent = dict.fromkeys(("runs", "timing", "slots", "processes", *WORK), 0.0)

    def add(self, times: Mapping[str, float]) -> None:
        """What a run says of itself."""
        for name, seconds in times.items():
            self._spent[name] += seconds

    def mark(self, phase: str) -> None:
        """The time since the last mark went into `runs` or `timing`."""
        now = time.monotonic()
        self._spent[phase] += now - self._marked
        if phase == "runs":
            self._spent["slots"] += (now - self._marked) * self._jobs
        self._marked = now
        if now - self._saved >= _SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Write `study.json`."""
        self._saved = time.monotonic()
        seconds = {name: self._before.get(name, 0.0) + value for name, value in self._spent.items()}
        seconds["wall"] = self._before.get("wall", 0.0) + self._saved - self._started
        worked = sum(seconds[name] for name in WORK)
        told = {
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
            "overhead": round(1 - worked / seconds["slots"], 4) if seconds["slots"] else 0.0,
        }
        write_json(self._path, told)


def _read(path: Path) -> dict[str, float]:
    try:
        return dict(read_json(path)["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
