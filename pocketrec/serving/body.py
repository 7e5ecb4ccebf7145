"""Reading a request's body: counted while it arrives, within a time, within what all bodies together may take."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from pocketrec.serving.refusal import Refusal, too_busy
from pocketrec.serving.settings import Settings

CLOSE = {"connection": "close"}


class Bodies:
    """The bodies being read at this moment, and the bytes they hold."""

    def __init__(self, settings: Settings) -> None:
        self.limit = settings.max_body
        self.seconds = settings.timeout
        self.room = settings.max_held

    async def read(self, receive: Receive, headers: Mapping[str, str]) -> bytes:
        """The whole body. Raises Refusal: 413 too large, 408 too slow, 415 compressed, 503 too many at once."""
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise Refusal(415, "a compressed body is not read: send it plain", field="Content-Encoding")
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self.limit:
            raise self._too_large(f"has {int(declared)}")
        held = _Held(self)
        try:
            async with asyncio.timeout(self.seconds):
                return await held.read(receive)
        except TimeoutError:
            raise Refusal(
                408,
                f"the body did not arrive within {self.seconds:g} s: {held.size} bytes came",
                headers=CLOSE,
            ) from None
        finally:
            self.room += held.size

    def _too_large(self, got: str) -> Refusal:
        return Refusal(413, f"a body has at most {self.limit} bytes, this one {got}: send fewer rows", headers=CLOSE)


class _Held:
    """One body, and what it takes of the room."""

    def __init__(self, bodies: Bodies) -> None:
        self.bodies = bodies
        self.size = 0

    async def read(self, receive: Receive) -> bytes:
        chunks: list[bytes] = []
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk = message.get("body", b"")
            self._count(len(chunk))
            chunks.append(chunk)
            if not message.get("more_body", False):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _count(self, more: int) -> None:
        if self.size + more > self.bodies.limit:
            raise self.bodies._too_large("more")
        if more > self.bodies.room:
            raise too_busy("too many bodies are being read at once")
        self.size += more
        self.bodies.room -= more
