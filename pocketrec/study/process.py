"""A function in a process of its own: its peak memory is its own, and it ends when whoever started it does."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any

from pocketrec.errors import PocketrecError

_PRELOADED = ["pocketrec.study.preload"]
_LOOK_SECONDS = 1.0


class ChildDied(Exception):
    """A child that ended without a word, such as one killed for memory; the message says how."""


class Child:
    """One call, `function(*args)`, of which function and arguments can be pickled."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._started = time.monotonic()
        context = _context()
        self.connection, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=_child, args=(theirs, function, args))
        self._process.start()
        theirs.close()

    def result(self) -> Any:
        """What it returned, waiting for its end. Raises its PocketrecError, ChildDied when it ended in another way."""
        try:
            told = self.connection.recv()
        except EOFError:
            told = None
        self._process.join()
        if told is None:
            raise ChildDied(_ending(self._process.exitcode or 0))
        if isinstance(told, PocketrecError):
            raise told
        return told[0]

    @property
    def seconds(self) -> float:
        """Since its beginning, its start included."""
        return time.monotonic() - self._started

    def stop(self) -> None:
        """Ask it to end as SIGTERM does: training writes a checkpoint first."""
        self._process.terminate()

    def join(self) -> None:
        """Wait for its end."""
        self._process.join()


class Children:
    """The children of a study, within `with`: however it is left, none is left behind.

    The first Ctrl-C or SIGTERM is noted, and acts when the study next waits; a second one acts at once.
    """

    def __init__(self) -> None:
        self._alive: list[Child] = []

    def start(self, function: Callable[..., Any], *args: Any) -> Child:
        """Begin a call in a process of its own."""
        child = Child(function, *args)
        self._alive.append(child)
        return child

    def told(self) -> list[Child]:
        """Those that have come to an end, as soon as there is one; perhaps none after a second.

        Raises KeyboardInterrupt or SystemExit when that was asked for.
        """
        ready = wait([child.connection for child in self._alive], _LOOK_SECONDS)
        if self._interrupts.received is not None:
            self._interrupts.raise_received()
        done = [child for child in self._alive if child.connection in ready]
        self._alive = [child for child in self._alive if child not in done]
        return done

    def __enter__(self) -> Children:
        from pocketrec.training.interrupt import Interrupts

        self._interrupts = Interrupts()
        self._interrupts.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._interrupts.__exit__(kind, error, at)
        for child in self._alive:
            child.stop()
        for child in self._alive:
            child.join()


def _context() -> Any:
    """New processes, not copies of this one; on Linux of one that has imported what every run needs, which takes
    seconds, and has done nothing else. Elsewhere, where libraries do not bear that, each imports it itself."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    # Ctrl-C is for us alone: that process would die of it, and all others with it. It keeps the mask it is born with;
    # to start the tracker changes ours, so that comes first.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


def _child(connection: Connection, function: Callable[..., Any], args: Sequence[Any]) -> None:
    with contextlib.suppress(OSError):
        # Ctrl-C in a terminal reaches a whole process group; the parent alone says how we end.
        os.setpgid(0, 0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    try:
        connection.send((function(*args),))
    except PocketrecError as error:
        connection.send(error)


def _end_with(sentinel: int) -> None:
    """A parent killed with SIGKILL stops nobody: a run that went on would write beside its own repetition."""
    wait([sentinel])
    os._exit(1)


def _ending(exitcode: int) -> str:
    if exitcode == -signal.SIGKILL:
        return "killed (SIGKILL), probably because memory ran out: give it fewer --jobs, or a smaller model"
    if exitcode < 0:
        return f"ended by {signal.Signals(-exitcode).name}"
    return f"ended with exit code {exitcode}: its own words are above"
