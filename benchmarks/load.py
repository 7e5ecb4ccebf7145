"""The client of benchmarks/serving.py, in a process of its own: sockets and no more, lest it be what is measured.

Reads one JSON object from standard input ({"port", "bodies": [paths], "types", "mode", ...}), writes one to standard
output. Requests are built beforehand; of an answer only its status and its length are read.

Modes: `rate` sends at random times (Poisson) whether answers came or not, so that a slow answer delays nobody;
`full` keeps every connection busy.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
Done = Callable[["Connection", int, float], None]


class Connection(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self, done: Done) -> None:
        self.done = done
        self.buffer = b""
        self.expected = -1
        self.sent_at = 0.0
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def ask(self, request: bytes) -> None:
        """Send; `done` is called with the status and the seconds it took."""
        self.buffer, self.expected = b"", -1
        self.sent_at = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.expected < 0:
            head = self.buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            told = _LENGTH.search(self.buffer, 0, head)
            self.expected = head + 4 + (int(told[1]) if told else 0)
        if len(self.buffer) >= self.expected:
            self.done(self, int(self.buffer[9:12]), time.perf_counter() - self.sent_at)

    def connection_lost(self, error: Exception | None) -> None:
        if self.sent_at:
            self.done(self, 0, 0.0)


class Load:
    """Connections, what they sent, and what came back."""

    def __init__(self, about: dict[str, Any]) -> None:
        self.about = about
        self.requests = [_request(Path(path).read_bytes(), kind) for path, kind in about["bodies"]]
        self.random = random.Random(about.get("seed", 0))
        self.idle: deque[Connection] = deque()  # the first waits longest: none is so idle that the server closes it
        self.latencies: list[float] = []
        self.statuses: dict[int, int] = {}
        self.until = 0.0
        self.finished = asyncio.get_running_loop().create_future()
        self.in_flight = 0

    async def run(self) -> dict[str, Any]:
        """For the seconds asked for; the answers still to come are waited for."""
        loop = asyncio.get_running_loop()
        full = self.about["mode"] == "full"
        for _ in range(self.about["connections"]):
            _, connection = await loop.create_connection(
                lambda: Connection(self._done), "127.0.0.1", self.about["port"]
            )
            self.idle.append(connection)
        begun = time.perf_counter()
        self.until = begun + self.about["seconds"]
        if full:
            while self.idle:
                self._send()
        else:
            await self._at_rate(begun)
        if self.in_flight:
            await self.finished
        seconds = time.perf_counter() - begun
        return {"seconds": seconds, "statuses": self.statuses, "milliseconds": _quantiles(self.latencies)}

    async def _at_rate(self, begun: float) -> None:
        due = begun
        while due < self.until:
            due += self.random.expovariate(self.about["rate"])
            pause = due - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            if self.idle:
                self._send()
            else:
                self.statuses[-1] = self.statuses.get(-1, 0) + 1  # all connections are waiting

    def _send(self) -> None:
        connection = self.idle.popleft()
        self.in_flight += 1
        connection.ask(self.requests[0] if len(self.requests) == 1 else self.random.choice(self.requests))

    def _done(self, connection: Connection, status: int, seconds: float) -> None:
        self.in_flight -= 1
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.latencies.append(seconds)
        connection.sent_at = 0.0
        if status:
            self.idle.append(connection)
        now = time.perf_counter()
        if now < self.until and self.about["mode"] == "full" and self.idle:
            self._send()
        elif now >= self.until and not self.in_flight and not self.finished.done():
            self.finished.set_result(None)


def _quantiles(seconds: list[float]) -> dict[str, float]:
    """Milliseconds at the median, and where one in a hundred takes longer."""
    ordered = sorted(seconds) or [0.0]
    return {f"p{percent}": 1000 * ordered[len(ordered) * percent // 100] for percent in (50, 99)}


def _request(body: bytes, content_type: str) -> bytes:
    head = f"POST /score HTTP/1.1\r\nhost: x\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _main() -> dict[str, Any]:
    return await Load(json.load(sys.stdin)).run()


if __name__ == "__main__":
    print(json.dumps(uvloop.run(_main())))
