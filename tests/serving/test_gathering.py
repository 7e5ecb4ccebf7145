"""How requests share a pool of threads: none is left to wait while others come and come."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pocketrec.serving.gather import SLICE, TURN, Gathering

ROUNDS = 50
DENSE, IDS = np.zeros((SLICE, 1), np.float32), np.zeros((SLICE, 1), np.int64)


class Crowd:
    """A model that is asked again, by somebody else, before it has answered: never is nobody waiting."""

    def __init__(self, pool):
        self.loop, self.asked = asyncio.get_running_loop(), threading.Semaphore(0)
        self.gathering = Gathering(self.score, pool, 1)
        self.rounds, self.requests, self.over = 0, [], asyncio.Event()

    def ask(self):
        self.requests.append(asyncio.create_task(self.gathering.score(DENSE, IDS)))

    def ask_and_tell(self):
        self.ask()
        # The task's first step, which puts it in the line, comes before this.
        self.loop.call_soon(self.asked.release)

    def score(self, dense, ids):
        self.rounds += 1
        if self.rounds < ROUNDS:
            self.loop.call_soon_threadsafe(self.ask_and_tell)
            assert self.asked.acquire(timeout=30)
        else:
            self.loop.call_soon_threadsafe(self.over.set)
        return np.zeros(len(ids), np.float32)


@pytest.mark.parametrize("other", ["a long body to parse", "another model"])
def test_a_crowd_keeps_nobody_else_from_the_threads(other):
    """A thread that went on as long as anybody waits would leave the other for the end."""

    async def work():
        with ThreadPoolExecutor(1) as pool:
            crowd = Crowd(pool)
            crowd.ask()
            while not crowd.rounds:
                await asyncio.sleep(0)
            if other == "another model":
                await Gathering(lambda dense, ids: np.ones(len(ids), np.float32), pool, 1).score(DENSE, IDS)
            else:
                await crowd.loop.run_in_executor(pool, int)
            waited = crowd.rounds
            await crowd.over.wait()
            assert all(len(scores) == SLICE for scores in await asyncio.gather(*crowd.requests))
            return waited

    assert asyncio.run(work()) <= 3 * TURN < ROUNDS


class Ended(BaseException):
    """As some libraries have of their own."""


@pytest.mark.parametrize("error", [ZeroDivisionError, MemoryError, Ended])
def test_no_error_takes_a_thread_along(error):
    """With its only thread gone, a server would answer nothing any more."""
    broken = True

    def score(dense, ids):
        if broken:
            raise error("why")
        return np.ones(len(ids), np.float32)

    async def work():
        nonlocal broken
        with ThreadPoolExecutor(1) as pool:
            gathering = Gathering(score, pool, 1)
            for _ in range(3):
                with pytest.raises(Exception, match="why"):
                    await asyncio.wait_for(gathering.score(DENSE, IDS), 30)
            broken = False
            return await asyncio.wait_for(gathering.score(DENSE, IDS), 30)

    assert asyncio.run(work()).tolist() == [1.0] * SLICE


def test_a_thread_that_cannot_be_started_is_one_error_and_no_more():
    """The next request is scored, and the refused one is not in its way."""

    class Refusing(ThreadPoolExecutor):
        refuses = True

        def submit(self, *arguments, **more):
            if self.refuses:
                raise RuntimeError("can't start new thread")
            return super().submit(*arguments, **more)

    async def work():
        with Refusing(1) as pool:
            gathering = Gathering(lambda dense, ids: ids[:, 0].astype(np.float32), pool, 1)
            with pytest.raises(RuntimeError, match="new thread"):
                await gathering.score(DENSE, IDS)
            pool.refuses = False
            return await asyncio.wait_for(gathering.score(DENSE, IDS + 7), 30)

    assert asyncio.run(work()).tolist() == [7.0] * SLICE
