"""Requests that wait are scored together: no request waits for others to come, and none is scored alone in a queue.

Measured with one-row requests, by processor time of the whole server for each (two shared cores, other work beside):

| | kaggle preset | terabyte preset |
|---|---|---|
| 16 connections always busy, each scored in a thread of its own turn | 445 us | 634 us |
| the same, gathered | 384 us | 451 us |
| 200 requests/s, one by one, then gathered | 986, 1073 us | 1268, 1182 us: the same within what repeats differ |

So it stays. A wait for others to come, as batching servers have, was not added: it can only cost at low rates.

A thread that has scored takes the next that wait by itself. Asking the loop for them left a core idle each time: with
16 busy connections a row cost 190 to 200 us that costs 145 to 155 now. By batches in a row, 256 rows in binary go at
0.80 (1), 0.83 (4) and 0.83 (no end) of the model's own speed (kaggle preset, the servers in turns).
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor

import numpy as np

SLICE = 256
"""Rows scored in one go at most: a request of thousands must not keep one of a single row waiting."""
TURN = 4
"""Batches in a row, before a thread does what else its pool is for: parsing long bodies, scoring for another model."""
Score = Callable[[np.ndarray, np.ndarray], np.ndarray]
_Waiting = tuple[np.ndarray, np.ndarray, "asyncio.Future[np.ndarray]"]


class Gathering:
    """The rows that wait for one model."""

    def __init__(self, score: Score, pool: Executor, threads: int) -> None:
        """score: (dense (n, D), ids (n, F)) -> (n,); called from the pool's threads, at most `threads` at once."""
        self._score = score
        self._pool = pool
        self._free = threads
        self._waiting: deque[_Waiting] = deque()
        self._lock = threading.Lock()  # of the two above

    async def score(self, dense: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """(n,) float32 for n <= SLICE rows. Raises what the model raises."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[np.ndarray] = loop.create_future()
        with self._lock:
            if self._free:
                self._pool.submit(self._work, loop)  # first: where it raises, nothing has changed
                self._free -= 1
            self._waiting.append((dense, ids, answer))
        return await answer

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread of the pool, as long as anybody waits, but in turns with what else waits for the pool."""
        for _ in range(TURN):
            taken = self._take()
            if not taken:
                return
            loop.call_soon_threadsafe(_tell, taken, self._outcome(taken))
        self._pool.submit(self._work, loop)

    def _take(self) -> list[_Waiting]:
        """The first that wait, as many as fit a slice; those that gave up are dropped. With none, a thread is free."""
        taken: list[_Waiting] = []
        room = SLICE
        with self._lock:
            while self._waiting and len(self._waiting[0][1]) <= room:
                each = self._waiting.popleft()
                if not each[2].done():
                    taken.append(each)
                    room -= len(each[1])
            self._free += not taken
        return taken

    def _outcome(self, taken: list[_Waiting]) -> np.ndarray | Exception:
        """The scores of all, or why there are none."""
        try:
            return self._score_together(taken)
        except Exception as error:
            return error
        except BaseException as error:  # of a library's own; a thread that it ended would be missing for ever
            return RuntimeError(repr(error))

    def _score_together(self, taken: list[_Waiting]) -> np.ndarray:
        if len(taken) == 1:
            return self._score(taken[0][0], taken[0][1])
        return self._score(np.concatenate([each[0] for each in taken]), np.concatenate([each[1] for each in taken]))


def _tell(taken: list[_Waiting], outcome: np.ndarray | Exception) -> None:
    """Give each its scores, or all the error; in the loop."""
    start = 0
    for _, ids, answer in taken:
        end = start + len(ids)
        if not answer.done():
            if isinstance(outcome, Exception):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome[start:end])
        start = end
