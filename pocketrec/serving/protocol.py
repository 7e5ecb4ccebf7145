"""Connections: uvicorn's own, with limits that it lacks: time and size of a request's head, how many connections.

Without them a client that sends one byte a minute, or a head without end, holds memory and a descriptor for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pocketrec.serving.refusal import json_bytes

HEAD_SECONDS = 10.0
HEAD_LIMIT = 64 * 1024
_PHRASES = {
    400: "Bad Request",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


class LimitedProtocol(HttpToolsProtocol):
    """One connection."""

    max_connections = 1000
    head_seconds = HEAD_SECONDS
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            self._refuse(503, f"{self.max_connections} connections are open already: try again in a second")
            return
        # One that asks nothing yet is as idle as one kept alive.
        self._head_timer = self.loop.call_later(self.timeout_keep_alive, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_LIMIT:
                self._refuse(431, f"the head of a request has at most {HEAD_LIMIT} bytes")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_came()
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(self.head_seconds, self._head_is_late)

    def on_headers_complete(self) -> None:
        self._head_came()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        # The rest of a body that nobody reads could trickle in for ever.
        if not self.pipeline and self.cycle.more_body:
            self.transport.close()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, f"this is not HTTP: {msg}")

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        self._refuse(408, f"the head of the request did not arrive within {self.head_seconds:g} s")

    def _refuse(self, status: int, message: str) -> None:
        self._head_came()
        if self.transport.is_closing():
            return
        body = json_bytes({"error": {"message": message}})
        retry = b"retry-after: 1\r\n" if status == 503 else b""
        head = (
            f"HTTP/1.1 {status} {_PHRASES[status]}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n"
        )
        self.transport.write(head.encode() + retry + b"\r\n" + body)
        self.transport.close()


def protocol_class(max_connections: int) -> type[LimitedProtocol]:
    """The protocol with this limit; uvicorn makes the instances itself."""
    attributes: dict[str, Any] = {"max_connections": max_connections}
    return type("Protocol", (LimitedProtocol,), attributes)
