"""A server in a process of its own, and an app asked without sockets."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from small_models import QUOTED_KINDS, write_model

from pocketrec.serving import Settings, create_app


class Server:
    """`pocketrec serve` as users start it."""

    def __init__(self, artifact: Path, *flags: str, **environment: str) -> None:
        self.artifact = artifact
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pocketrec", "serve", str(artifact), "--port", "0", *flags],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )
        assert self.process.stderr is not None
        self.log: list[str] = []
        self.port = 0
        for line in self.process.stderr:
            self.log.append(line)
            told = re.search(r"listening on http://.*:(\d+)", line)
            if told:
                self.port = int(told[1])
                break
        assert self.port, "".join(self.log)
        # A pipe that nobody reads would stop the server once it is full.
        self._reader = threading.Thread(target=lambda: self.log.extend(self.process.stderr or []))
        self._reader.start()
        self.url = f"http://127.0.0.1:{self.port}"

    def resident(self) -> int:
        """Bytes of its memory at this moment."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=30)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join()
            if self.process.stderr is not None:
                self.process.stderr.close()


@contextmanager
def served(artifact: Path, *flags: str, **environment: str) -> Iterator[Server]:
    """A server while it is needed."""
    server = Server(artifact, *flags, **environment)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of five features; nobody writes to it."""
    return write_model(tmp_path_factory.mktemp("served") / "small.pocket")


@pytest.fixture(scope="session")
def server(artifact: Path) -> Iterator[Server]:
    """Of `artifact`, without a token; a body has a second to arrive."""
    with served(artifact, "--timeout", "1") as running:
        yield running


@pytest.fixture(scope="session")
def quoted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact with `QUOTED` among its features."""
    return write_model(tmp_path_factory.mktemp("quoted") / "quoted.pocket", kinds=QUOTED_KINDS)


@pytest.fixture(scope="session")
def quoted_server(quoted: Path) -> Iterator[Server]:
    """Of `quoted`."""
    with served(quoted) as running:
        yield running


Ask = Callable[..., Any]


@pytest.fixture
def asked(artifact: Path) -> Ask:
    """`asked(work, path=..., **settings)`: what the coroutine function `work(client, app)` returns; no sockets."""

    def run(work: Callable[..., Any], path: Path = artifact, **settings: Any) -> Any:
        async def main() -> Any:
            app = create_app(path, Settings(**settings))
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=transport, base_url="http://x") as c,
            ):
                return await work(c, app)

        return asyncio.run(main())

    return run
