"""The process: uvicorn around the app, signals, the log."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from ipaddress import ip_address
from typing import Any

import uvicorn
from fastapi import FastAPI

from pocketrec.serving.app import create_app
from pocketrec.serving.protocol import protocol_class
from pocketrec.serving.settings import Settings

LOG = logging.getLogger("pocketrec.serving")
KEEP_ALIVE = 75  # seconds an idle connection stays open: longer than the minute that proxies keep theirs


def serve(
    artifact_path: str | os.PathLike[str], settings: Settings | None = None, host: str = "127.0.0.1", port: int = 8000
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is in flight. SIGHUP loads the artifact's file again.

    Raises OSError or ArtifactError before it listens where the port cannot be had or the artifact not be loaded.
    """
    settings = settings or Settings()
    _log_to_stderr()
    # While the artifact is loaded there is nothing yet to load again.
    hung_up = threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: hung_up.set())
    if settings.token is None and not _is_loopback(host):
        LOG.warning("anybody who reaches %s can ask this server: give it a token (--token-file), or bind it here", host)
    with closing(_bind(host, port)) as listening:
        app = create_app(artifact_path, settings)
        app.router.lifespan_context = _reload_on_hangup(app, app.router.lifespan_context, hung_up)
        # A full collection goes through the 65,000 objects of FastAPI and the model: requests waited 36 ms.
        gc.collect()
        gc.freeze()
        _Server(_config(app, settings)).run(sockets=[listening])


def _config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=protocol_class(settings.max_connections),
        ws="none",
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=max(1, round(settings.grace)),
    )


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            yield
            # uvicorn would raise them again; a server that was asked to stop has done well.
            self._captured_signals.clear()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for each in sockets or []:
            host, port = each.getsockname()[:2]
            LOG.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)


def _bind(host: str, port: int) -> socket.socket:
    """Nobody can connect yet: uvicorn listens when the app answers."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise OSError(error.errno, error.strerror, f"{host}:{port}") from None
    listening.set_inheritable(False)
    return listening


def _reload_on_hangup(app: Any, lifespan: Any, hung_up: threading.Event) -> Any:
    """The lifespan with SIGHUP answered, and once for one that came before."""

    @asynccontextmanager
    async def with_signal(inner: Any) -> AsyncIterator[Any]:
        loop = asyncio.get_running_loop()
        tasks = set()

        def reload() -> None:
            task = loop.create_task(app.state.holder.reload())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        async with lifespan(inner) as state:
            loop.add_signal_handler(signal.SIGHUP, reload)
            if hung_up.is_set():
                reload()
            yield state

    return with_signal


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    for name, level in (("pocketrec", logging.INFO), ("uvicorn", logging.ERROR)):
        log = logging.getLogger(name)
        log.handlers[:] = [handler]
        log.setLevel(level)
        log.propagate = False
