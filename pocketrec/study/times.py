"""Where a study's time went, over all its parts: `study.json`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pocketrec.files import read_json, write_json
from pocketrec.study.columns import TIMES_FILE

_SAVE_SECONDS = 20.0


class Times:
    """Seconds, added to those of earlier parts; written at most every so often, so that a kill loses little."""

    def __init__(self, folder: Path, jobs: int) -> None:
        self._path = folder / TIMES_FILE
        self._before = _read(self._path)
        self._jobs = jobs
        self._started = self._marked = self._saved = time.monotonic()
        self._spent = {"runs": 0.0, "timing": 0.0, "slots": 0.0, "training": 0.0, "evaluation": 0.0}

    def add_run(self, times: dict[str, float]) -> None:
        """What a run says of itself."""
        for name in ("training", "evaluation"):
            self._spent[name] += times.get(name, 0.0)

    def mark(self, phase: str) -> None:
        """The time since the last mark went into `runs` or `timing`."""
        now = time.monotonic()
        self._spent[phase] += now - self._marked
        if phase == "runs":
            self._spent["slots"] += (now - self._marked) * self._jobs
        self._marked = now
        if now - self._saved >= _SAVE_SECONDS:
            self.save()

    def save(self) -> dict[str, Any]:
        """Write `study.json`; returns what it holds."""
        self._saved = time.monotonic()
        seconds = {name: self._before.get(name, 0.0) + value for name, value in self._spent.items()}
        seconds["wall"] = self._before.get("wall", 0.0) + self._saved - self._started
        told = {
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
            "overhead": 1 - (seconds["training"] + seconds["evaluation"]) / seconds["slots"]
            if seconds["slots"]
            else 0.0,
        }
        write_json(self._path, told)
        return told


def _read(path: Path) -> dict[str, float]:
    try:
        return dict(read_json(path)["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
