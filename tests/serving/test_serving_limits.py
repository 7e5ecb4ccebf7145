"""What a server allows: how much waits, how long, who asks, how many connections."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from small_models import ROW

from pocketrec.errors import UsageError
from pocketrec.serving import Settings
from pocketrec.serving.protocol import LimitedProtocol

BODY = {"rows": [ROW]}


class Held:
    """A gathering that does not answer until it is let go."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.let_go = asyncio.Event()

    async def score(self, dense: np.ndarray, ids: np.ndarray) -> np.ndarray:
        self.asked.set()
        await self.let_go.wait()
        return np.full(len(ids), 0.5, np.float32)


def holding(app: Any) -> Held:
    """Make the app's model wait."""
    held = Held()
    object.__setattr__(app.state.holder.current, "gathering", held)
    return held


def test_too_many_that_wait_are_told_to_come_again(asked):
    async def work(client, app):
        held = holding(app)
        first = asyncio.create_task(client.post("/score", json=BODY))
        await held.asked.wait()
        refused = await client.post("/score", json=BODY)
        held.let_go.set()
        return await first, refused

    first, refused = asked(work, max_waiting=1)
    assert first.status_code == 200
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"


def test_scores_that_take_too_long(asked):
    async def work(client, app):
        holding(app)
        late = await client.post("/score", json=BODY)
        app.state.holder.current.gathering.let_go.set()
        return late, await client.post("/score", json=BODY)

    late, later = asked(work, timeout=0.05, max_waiting=1)
    assert late.status_code == 503
    assert "0.05 s" in late.json()["error"]["message"]
    assert later.status_code == 200, "the one that gave up waits no more"


def test_bodies_that_are_too_many_at_once(asked):
    """They share `max_held` bytes, and give them back."""
    pad = b" " * 900

    async def work(client, app):
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slowly():
            yield pad
            begun.set()
            await go_on.wait()
            yield b"{}"

        headers = {"content-type": "application/json"}
        first = asyncio.create_task(client.post("/score", content=slowly(), headers=headers))
        await begun.wait()
        second = await client.post("/score", content=pad, headers=headers)
        go_on.set()
        await first
        return first.result(), second, await client.post("/score", content=pad, headers=headers)

    first, second, third = asked(work, max_body=1000, max_held=1000)
    assert (first.status_code, second.status_code, third.status_code) == (422, 503, 400)


def test_a_token_is_asked_for(asked):
    paths = ["/score", "/model", "/metrics", "/openapi.json", "/reload", "/artifact/recipe.json", "/nothing"]
    told = ["", "Bearer", "Bearer ", "Bearer wrong", "Basic right", "right", "Bearer right2", "Bearer ri\xe9ght"]

    async def work(client, app):
        for path in paths:
            method = "POST" if path in ("/score", "/reload") else "GET"
            for each in told:
                answer = await client.request(method, path, headers={"authorization": each.encode("latin-1")})
                assert answer.status_code == 401, (path, each)
                assert answer.headers["www-authenticate"] == "Bearer"
                assert answer.json()["error"]["field"] == "Authorization"
        right = {"authorization": "Bearer right"}
        assert (await client.post("/score", json=BODY, headers=right)).status_code == 200
        assert (await client.get("/model", headers=right)).status_code == 200
        assert (await client.get("/healthz")).status_code == 200

    asked(work, token="right")


def test_an_error_of_ours_is_not_shown_and_costs_no_thread(asked, caplog):
    """A 500 says nothing of the inside, the log has it all; threads that met an error score what comes next."""

    async def work(client, app):
        def broken(*_: Any) -> Any:
            raise ZeroDivisionError("secret")

        gathering = app.state.holder.current.gathering
        whole, gathering._score = gathering._score, broken
        answers = await asyncio.gather(*(client.post("/score", json=BODY) for _ in range(20)))
        gathering._score = whole
        return answers, await client.post("/score", json=BODY)

    answers, next_one = asked(work, threads=1)
    for answer in answers:
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert answer.json()["error"]["message"]
    assert "secret" in caplog.text
    assert next_one.status_code == 200


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"max_body": 0}, "max_body"),
        ({"max_rows": 1.5}, "max_rows"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"threads": 0}, "threads"),
        ({"reload_seconds": -1}, "reload_seconds"),
        ({"max_held": 5}, "max_held"),
        ({"token": ""}, "token"),
        ({"token": "two\nlines"}, "token"),
    ],
)
def test_settings_that_make_no_sense(wrong, name):
    with pytest.raises(UsageError, match=name):
        Settings(**wrong)


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def connections(
    work: Any, app: Any = _nothing, protocol: Any = LimitedProtocol, idle_seconds: float = 10, **limits: Any
) -> Any:
    """What the coroutine function `work(open)` returns; `open()` makes one more connection to a server of `app`."""

    async def main() -> Any:
        listening = socket.create_server(("127.0.0.1", 0))
        limited = type("Limited", (protocol,), limits)
        config = uvicorn.Config(app, http=limited, ws="none", lifespan="off", log_config=None)
        config.timeout_keep_alive = idle_seconds
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server._serve([listening]))
        try:
            return await work(lambda: asyncio.open_connection(*listening.getsockname()))
        finally:
            server.should_exit = True
            await serving

    return asyncio.run(main())


@pytest.mark.parametrize("sent", [b"G", b"GET / HTTP/1.1\r\nhost:", b"GET / HTTP/1.1\r\n\r\nGET / HT"])
def test_a_head_that_does_not_come(sent):
    """Neither on a new connection nor on one kept alive may it be waited for without end."""

    async def work(open):
        reader, writer = await open()
        writer.write(sent)
        told = await reader.read()
        writer.close()
        return told

    told = connections(work, head_seconds=0.05)
    assert b"HTTP/1.1 408" in told
    assert told.count(b"HTTP/1.1 204") == sent.count(b"\r\n\r\n")


def test_a_connection_that_asks_nothing_is_closed():
    """Without a word: a client that opens connections beforehand has done nothing wrong."""

    async def work(open):
        reader, writer = await open()
        told = await reader.read()
        writer.close()
        return told

    assert connections(work, idle_seconds=0.05) == b""


LARGE = bytes(64 << 20)  # more than the kernel takes for the two sides


async def _large(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": LARGE})


@pytest.mark.parametrize(
    ("asked", "held", "limits"),
    [
        (b"", None, {"take_seconds": 0.05}),
        (b"connection: close\r\n", len(LARGE), {"take_seconds": 0.05}),
        (b"", len(LARGE), {"idle_seconds": 0.05}),
    ],
    ids=["stalled", "closing", "idle"],
)
def test_an_answer_that_is_not_taken(asked, held, limits):
    """The connection is cut, else a client that never reads keeps it for ever; held: bytes that nobody waits for."""
    gone = asyncio.Event()

    class Watched(LimitedProtocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            transport.set_write_buffer_limits(held)

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            gone.set()

    async def work(open):
        _, writer = await open()
        writer.write(b"GET / HTTP/1.1\r\n" + asked + b"\r\n")
        try:
            async with asyncio.timeout(20):
                await gone.wait()
        finally:
            writer.transport.abort()

    connections(work, _large, Watched, **limits)


def test_an_empty_line_is_no_request():
    """It ends the wait of a connection kept alive, and begins nothing: it would be held for ever."""

    async def work(open):
        reader, writer = await open()
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert b"204" in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\r\n")
        async with asyncio.timeout(20):
            told = await reader.read()
        writer.close()
        await writer.wait_closed()
        return told

    assert connections(work, head_seconds=0.05).startswith(b"HTTP/1.1 408")


def test_what_is_no_http_behind_an_answer_that_has_begun():
    """A refusal would be read as the content of the answer that goes on."""
    cut = asyncio.Event()

    async def answers(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await cut.wait()

    async def work(open):
        reader, writer = await open()
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await reader.readuntil(b"begun")
        writer.write(b"GET / HTTP/1.1\r\n\r\nGARBAGE\r\n\r\n")
        async with asyncio.timeout(20):
            rest = await reader.read()
        cut.set()
        writer.close()
        await writer.wait_closed()
        return rest

    assert connections(work, answers) == b""


def test_connections_are_counted():
    async def work(open):
        kept = [await open() for _ in range(2)]
        for reader, writer in kept:
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert b"204" in await reader.readuntil(b"\r\n\r\n")
        reader, writer = await open()
        refused = await reader.read()
        for _, each in [*kept, (reader, writer)]:
            each.close()
            await each.wait_closed()
        return refused

    refused = connections(work, max_connections=2)
    assert refused.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 1" in refused


def test_it_binds_here_unless_told(server):
    """And warns when anybody could ask."""
    assert "listening on http://127.0.0.1:" in "".join(server.log)
    assert not [line for line in server.log if "WARNING" in line]


def test_a_server_for_all_without_a_token_warns(artifact):
    from conftest import served

    with served(artifact, "--host", "0.0.0.0") as open_to_all:
        assert any("WARNING" in line and "token" in line for line in open_to_all.log)
    with served(artifact, "--host", "0.0.0.0", POCKETREC_TOKEN=" sesame\n") as guarded:
        assert not any("WARNING" in line for line in guarded.log)
        assert httpx.get(f"{guarded.url}/model").status_code == 401
        assert httpx.get(f"{guarded.url}/model", headers={"authorization": "Bearer sesame"}).status_code == 200
