"""A headless Chromium, driven over a pipe by the DevTools protocol: shows a page, measures it, photographs it.

A pipe needs no port, no driver and no package; and a window cannot be made as narrow as a phone, but a device can.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
    "--remote-debugging-pipe",
)  # fmt: skip


def find() -> str | None:
    """The path of a Chromium, if this machine has one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


PATIENCE = 300
"""Seconds of silence after which a browser is called dead; a busy machine takes some."""


class Browser:
    """One tab. `requests` lists every address the page asked for, itself first.

    A context manager; `profile` is a new folder for what the browser keeps.
    """

    def __init__(self, profile: Path, path: str | None = None) -> None:
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        # The browser reads commands from descriptor 3 and answers on 4; a shell puts ours there.
        command = [path or find() or NAMES[0], *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        redirected = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            ["bash", "-c", redirected, "browser", *command],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._answers = os.fdopen(self._read, "rb", buffering=0)
        self._pending, self._count, self._session = b"", 0, None
        self.requests: list[str] = []
        self._loaded = False
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._call("Page.enable")
        self._call("Network.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._answers.close()
        os.close(self._write)

    def show(self, page: Path, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Load a file as a device of that many CSS pixels shows it; the phone's pixels are twice as fine."""
        phone = width < 600
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])
        self.requests, self._loaded = [], False
        self._call("Page.navigate", url=page.resolve().as_uri())
        while not self._loaded:
            self._hear()

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def photograph(self, to: Path) -> None:
        """The whole page, not just what the window shows, as PNG."""
        picture = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        to.write_bytes(base64.b64decode(picture["data"]))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._hear()
            if answer.get("id") == self._count:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result

    def _hear(self) -> dict[str, Any]:
        """The next message; events of the page are noted."""
        while b"\0" not in self._pending:
            ready, _, _ = select.select([self._answers], [], [], PATIENCE)
            got = self._answers.read(1 << 16) if ready else b""
            assert got, "the browser closed the pipe, or says nothing: it did not start, or crashed"
            self._pending += got
        whole, _, self._pending = self._pending.partition(b"\0")
        message: dict[str, Any] = json.loads(whole)
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        self._loaded |= message.get("method") == "Page.loadEventFired"
        return message
