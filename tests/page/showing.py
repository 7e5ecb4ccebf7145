"""A server of an artifact, and its page as a reader sees it."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn

from pocketrec.serving import Settings, create_app

WEB = Path(__file__).parent.parent.parent / "pocketrec" / "serving" / "web"


@contextmanager
def served(artifact: Path, **settings: object) -> Iterator[str]:
    """The address of a server of the artifact, in this process. It listens before it starts: nobody asks too early."""
    listening = socket.create_server(("127.0.0.1", 0))
    app = create_app(artifact, Settings(reload_seconds=0, threads=1, **settings))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


class Shown:
    """A page, and what it said and asked for."""

    def __init__(self, page, address):
        self.page, self.address = page, address
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(f"thrown: {error}"))
        page.on("request", lambda request: self.requests.append(request.url))
        page.set_default_timeout(60_000)  # a busy machine takes some

    def open(self):
        """Load the page, as far as its first score."""
        self.page.goto(self.address)
        self.settle()
        return self

    def settle(self):
        """Wait until what stands in the fields is scored, or said to be no row."""
        self.page.locator("#score-box[aria-busy=false]").wait_for()

    def fill(self, feature: str, text: str):
        """Type a value over the one that stands there."""
        self.field(feature).fill(text)
        self.settle()

    def put_row(self, name: str):
        """Press the button of a row of the log."""
        self.page.get_by_role("button", name=name, exact=True).click()
        self.settle()

    def field(self, feature: str):
        """The input that is labelled so."""
        return self.page.get_by_label(re.compile(rf"^{re.escape(feature)}(?!\w)"))

    def described(self, feature: str) -> str:
        """The texts that stand by a field: what is wrong with it, and the score without it."""
        ids = self.field(feature).get_attribute("aria-describedby").split()
        return " ".join(self.text(f"#{each}") for each in ids).strip()

    def text(self, selector: str) -> str:
        """What a part of the page says, as far as it is seen."""
        return self.page.locator(selector).inner_text()

    def score(self) -> float:
        """The score shown, every digit of it."""
        return float(self.page.locator("#score").get_attribute("data-exact"))


def score_of(address: str, row: dict[str, object]) -> float:
    """What the server says of a row."""
    return httpx.post(f"{address}score", json={"rows": [row]}).raise_for_status().json()["scores"][0]
