"""Connections: uvicorn's own, with limits that it lacks: time and size of a request's head, the time in which an answer
is taken, how many connections.

Without them a client that sends one byte a minute, or a head without end, or reads nothing of what it asked for, holds
memory and a descriptor for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pocketrec.serving.refusal import json_bytes

HEAD_SECONDS = 10.0
HEAD_LIMIT = 64 * 1024
"""Bytes of a request's address and fields: those before its body and those after it, the trailers. A field that is not
whole counts from the next read on.
"""
TAKE_SECONDS = 30.0
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
    take_seconds = TAKE_SECONDS
    _head_bytes = 0
    _unsaid_bytes = 0
    _in_head = False
    _head_timer: asyncio.TimerHandle | None = None
    _take_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            self._refuse(503, f"{self.max_connections} connections are open already: try again in a second")
            return
        # One that asks nothing yet is as idle as one kept alive.
        self._head_timer = self.loop.call_later(self.timeout_keep_alive, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        self._answer_taken()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # The parser keeps a field to itself until it is whole.
        self._unsaid_bytes += len(data)
        kept_alive = self.timeout_keep_alive_task is not None
        super().data_received(data)
        if kept_alive and not self._in_head and self.cycle.response_complete:
            # An empty line: it ends the wait for a request and begins none.
            self._await_head()
        if self._head_bytes + self._unsaid_bytes > HEAD_LIMIT:
            self._refuse_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0
        self._await_head()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + len(b": \r\n"))
        # A trailer is no field of the head: the app has read those already.
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_came()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unsaid_bytes = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        # The rest of a body that nobody reads could trickle in for ever.
        if not self.pipeline and self.cycle.more_body:
            self.transport.close()
        if self.transport.is_closing():
            self._await_taking()
        super().on_response_complete()

    def timeout_keep_alive_handler(self) -> None:
        # Closing would wait for a client that has taken nothing all the time.
        self.transport.abort()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_taking()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._answer_taken()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, f"this is not HTTP: {msg}")

    def _count(self, more: int) -> None:
        self._unsaid_bytes = 0
        self._head_bytes += more
        if self._head_bytes > HEAD_LIMIT:
            self._refuse_head()
            raise ValueError("this ends the parsing")

    def _await_taking(self) -> None:
        if self._take_timer is None:
            self._take_timer = self.loop.call_later(self.take_seconds, self.transport.abort)

    def _answer_taken(self) -> None:
        if self._take_timer is not None:
            self._take_timer.cancel()
            self._take_timer = None

    def _await_head(self) -> None:
        self._head_came()
        if not self.transport.is_closing():
            self._head_timer = self.loop.call_later(self.head_seconds, self._head_is_late)

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        self._refuse(408, f"the head of the request did not arrive within {self.head_seconds:g} s")

    def _refuse_head(self) -> None:
        self._refuse(431, f"the head of a request, with its trailers, has at most {HEAD_LIMIT} bytes")

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
        # After the beginning of another answer it would be read as its content; `cycle` is the newest request.
        begun = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if not begun and not self.pipeline:
            self.transport.write(head.encode() + retry + b"\r\n" + body)
        self.transport.close()
        self._await_taking()


def protocol_class(max_connections: int) -> type[LimitedProtocol]:
    """The protocol with this limit; uvicorn makes the instances itself."""
    attributes: dict[str, Any] = {"max_connections": max_connections}
    return type("Protocol", (LimitedProtocol,), attributes)
