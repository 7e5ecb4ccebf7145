"""Who scores when: short requests at once, long ones in threads and in slices, and not more than may wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from pocketrec.serving.metrics import Metrics
from pocketrec.serving.refusal import too_busy
from pocketrec.serving.served import Served
from pocketrec.serving.settings import Settings

SLICE = 256
"""Rows scored in one go: a request of thousands must not keep one of a single row waiting."""
Parse = Callable[[Served], tuple[np.ndarray, np.ndarray]]


class Scoring:
    """The threads that score; one core each, so that requests do not wait for each other's slowest part."""

    def __init__(self, settings: Settings, metrics: Metrics, threads: int) -> None:
        self.settings = settings
        self.metrics = metrics
        self.waiting = 0
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="score")

    async def score(self, served: Served, parse: Parse) -> np.ndarray:
        """Scores (n,) of the rows that `parse` finds. Raises Refusal 503 when too many wait or it takes too long."""
        if self.waiting >= self.settings.max_waiting:
            raise too_busy(f"{self.waiting} requests wait for scores already")
        self.waiting += 1
        try:
            async with asyncio.timeout(self.settings.timeout):
                scores = await self._in_slices(served, parse)
        except TimeoutError:
            raise too_busy(f"the scores were not ready within {self.settings.timeout:g} s") from None
        finally:
            self.waiting -= 1
        self.metrics.rows.inc(len(scores))
        return scores

    async def _in_slices(self, served: Served, parse: Parse) -> np.ndarray:
        loop = asyncio.get_running_loop()
        dense, ids, first = await loop.run_in_executor(self.pool, _parse_and_score, served, parse)
        parts = [first]
        for start in range(SLICE, len(ids), SLICE):
            end = start + SLICE
            parts.append(await loop.run_in_executor(self.pool, served.model.score, dense[start:end], ids[start:end]))
        return first if len(parts) == 1 else np.concatenate(parts)

    def close(self) -> None:
        """Let go of the threads."""
        self.pool.shutdown(wait=False, cancel_futures=True)


def _parse_and_score(served: Served, parse: Parse) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    dense, ids = parse(served)
    return dense, ids, served.model.score(dense[:SLICE], ids[:SLICE])
