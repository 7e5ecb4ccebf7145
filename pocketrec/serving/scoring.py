"""Who scores when: short bodies are parsed at once, long ones in a thread; rows in slices; not more than may wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor

import numpy as np

from pocketrec.serving.gather import SLICE
from pocketrec.serving.metrics import Metrics
from pocketrec.serving.refusal import too_busy
from pocketrec.serving.served import Served
from pocketrec.serving.settings import Settings

SHORT = 256 * 1024
"""Bytes of a body that is parsed at once, some 400 rows of JSON in two milliseconds: parsing holds the interpreter
wherever it is done, and another thread only adds the way there.
"""
Parse = Callable[[Served, bytes], tuple[np.ndarray, np.ndarray]]


class Scoring:
    """From bodies to scores."""

    def __init__(self, settings: Settings, metrics: Metrics, pool: Executor) -> None:
        self.settings = settings
        self.metrics = metrics
        self.pool = pool
        self.waiting = 0

    async def score(self, served: Served, parse: Parse, body: bytes) -> np.ndarray:
        """Scores (n,) of the rows in `body`. Raises Refusal 503 when too many wait or it takes too long."""
        if self.waiting >= self.settings.max_waiting:
            raise too_busy(f"{self.waiting} requests wait for scores already")
        self.waiting += 1
        try:
            async with asyncio.timeout(self.settings.timeout):
                scores = await self._in_slices(served, parse, body)
        except TimeoutError:
            raise too_busy(f"the scores were not ready within {self.settings.timeout:g} s") from None
        finally:
            self.waiting -= 1
        self.metrics.rows.inc(len(scores))
        return scores

    async def _in_slices(self, served: Served, parse: Parse, body: bytes) -> np.ndarray:
        if len(body) <= SHORT:
            dense, ids = parse(served, body)
        else:
            dense, ids = await asyncio.get_running_loop().run_in_executor(self.pool, parse, served, body)
        score, rows = served.gathering.score, len(ids)
        if rows <= SLICE:
            return await score(dense, ids)
        slices = [slice(start, start + SLICE) for start in range(0, rows, SLICE)]
        return np.concatenate([await score(dense[each], ids[each]) for each in slices])
