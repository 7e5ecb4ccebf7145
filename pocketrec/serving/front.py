"""What every request passes first: the token, the count and the clock, and errors that are not to be seen."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pocketrec.serving.metrics import Metrics
from pocketrec.serving.refusal import Refusal

LOG = logging.getLogger("pocketrec.serving")
OPEN = ("/", "/healthz", "/web")
"""Routes that need no token: of the model they tell its name, its SHA-256 and what computes its scores."""
LINGER = 2.0  # seconds in which the rest of a refused body is read and dropped
CLIENT_GONE = 499  # as nginx counts it
NOSNIFF = (b"x-content-type-options", b"nosniff")  # a browser takes nothing for another type than is said


class Front:
    """ASGI middleware; `routes` are the paths that metrics tell apart, others count as one."""

    def __init__(self, app: ASGIApp, metrics: Metrics, token: str | None, routes: frozenset[str]) -> None:
        self.app = app
        self.metrics = metrics
        self.token = None if token is None else token.encode()
        self.routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        route = self._route(scope["path"])
        exchange = _Exchange(scope, receive, send)
        started = time.perf_counter()
        with self.metrics.in_flight.track_inprogress():
            try:
                await self._answer(route, scope, exchange)
            finally:
                self.metrics.answered(route, exchange.status, time.perf_counter() - started)

    async def _answer(self, route: str, scope: Scope, exchange: _Exchange) -> None:
        try:
            self._check_token(route, exchange.headers)
            await self.app(scope, exchange.receive, exchange.send)
        except Refusal as refusal:
            await exchange.refuse(refusal)
        except ClientDisconnect:
            exchange.status = CLIENT_GONE
        except Exception:
            LOG.exception("an error of ours while answering %s", route)
            await exchange.refuse(Refusal(500, "an error of the server; its log tells more"))

    def _check_token(self, route: str, headers: Headers) -> None:
        if self.token is None or route in OPEN:
            return
        scheme, _, told = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(told.strip().encode(), self.token):
            raise Refusal(
                401,
                "this server asks for its token: send Authorization: Bearer TOKEN",
                field="Authorization",
                headers={"www-authenticate": "Bearer"},
            )

    def _route(self, path: str) -> str:
        if path in self.routes:
            return path
        return "/web" if path.startswith("/web/") else "other"


class _Exchange:
    """One request and its answer: whether it has begun, and whether the body was read to its end."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.headers = Headers(scope=scope)
        self.status = 500
        self._receive = receive
        self._send = send
        self._begun = False
        self._unread = "content-length" in self.headers or "transfer-encoding" in self.headers

    async def receive(self) -> Message:
        message = await self._receive()
        if not message.get("more_body", False):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begun = True
            self.status = message["status"]
            message = {**message, "headers": [*message["headers"], NOSNIFF]}
        elif self._unread and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        """Answer with the refusal, unless an answer has begun: then the connection is cut."""
        if self._begun:
            raise refusal
        await refusal.response()(self.scope, self.receive, self.send)

    async def _linger(self) -> None:
        """Read and drop the rest of the body: closing at once would reset the connection, and a client that is still
        sending would never see the answer.
        """
        if self.status == 408 or "expect" in self.headers:
            return
        try:
            async with asyncio.timeout(LINGER):
                while self._unread:
                    await self.receive()
        except TimeoutError:
            pass
