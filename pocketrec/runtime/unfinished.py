"""The scores of a file so far: parts beside the output, which a killed run leaves and the same command goes on from."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pocketrec import files
from pocketrec.data.lock import lock_folder
from pocketrec.errors import DataError

_STATE = "state.json"


@dataclass
class State:
    """What is done."""

    rows_read: int = 0
    """Physical rows of the file, bad ones included: the next one to be scored."""
    parts: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    """Rule -> rows left out for breaking it."""


class Unfinished:
    """The folder `.NAME.scoring` beside the output NAME, locked until `close`: one process at a time."""

    def __init__(self, out: Path, plan: dict[str, Any]) -> None:
        """Claim it; what a run of another plan left is dropped. Raises DataError while another process scores to it.

        plan: what must be as it was for parts to be gone on from, by the words that a user knows it by.
        """
        self.folder = out.with_name(f".{out.name}.scoring")
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        lock = lock_folder(self.folder)
        if lock is None:
            raise DataError(f"{out}: another process is scoring to it: wait for it or choose another --out")
        self._lock, self._plan = lock, plan
        self.state, self.dropped = self._found()
        for path in self.folder.glob(f"*{files.PART}"):
            path.unlink()

    def _found(self) -> tuple[State, str]:
        """What is done, and why it is not what an earlier run had done; empty where it is, or there was none."""
        try:
            told = files.read_json(self.folder / _STATE)
            state, plan = State(**told["state"]), dict(told["plan"])
        except FileNotFoundError:
            return State(), ""
        except (OSError, ValueError, KeyError, TypeError):
            return State(), "what an earlier score left cannot be read"
        if plan != self._plan:
            changed = ", ".join(name for name in self._plan if plan.get(name) != self._plan[name])
            return State(), f"what an earlier score left was of another {changed}"
        if not all(path.exists() for path in self._paths(state.parts)):
            return State(), "parts that an earlier score left are missing"
        return state, ""

    def _paths(self, parts: int) -> list[Path]:
        return [self.folder / f"{number:06d}.parquet" for number in range(parts)]

    @property
    def paths(self) -> list[Path]:
        """The parts, in order; columns `row`, `score` and `label` (-1 for none)."""
        return self._paths(self.state.parts)

    def add(
        self, columns: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], rows_read: int, bad: dict[str, int]
    ) -> None:
        """Keep (rows, scores, labels) of some blocks: `rows_read` rows of the file are done then."""
        rows, scores, labels = (np.concatenate(each) for each in zip(*columns, strict=True))
        path = self._paths(self.state.parts + 1)[-1]
        with files.atomic_path(path) as part:
            pl.DataFrame({"row": rows, "score": scores, "label": labels}).write_parquet(part, compression="zstd")
        self.state = State(rows_read, self.state.parts + 1, bad)
        files.write_json(self.folder / _STATE, {"plan": self._plan, "state": asdict(self.state)})

    def remove(self) -> None:
        """Drop the parts: the output is whole, or there is none to be."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self) -> None:
        """Let another process go on; with no part finished, nothing is left."""
        if not self.state.parts:
            self.remove()
        self._lock.close()
