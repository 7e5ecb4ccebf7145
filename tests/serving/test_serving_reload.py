"""A new artifact takes the old one's place, and nobody notices; one that is refused changes nothing."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from conftest import Server, served
from small_models import IDS, ROW, expected, write_model

from pocketrec.artifact import read_artifact

BODY = {"rows": [ROW]}
TOKEN = {"authorization": "Bearer right"}
DEADLINE = 20.0


def says(seed: int) -> float:
    return float(expected([[3, np.nan]], [IDS], seed)[0])


def until(server: Server, what: Any) -> dict[str, Any]:
    """Ask /healthz until `what` holds of it."""
    begun = time.monotonic()
    while time.monotonic() - begun < DEADLINE:
        told = httpx.get(f"{server.url}/healthz").json()
        if what(told):
            return told
    raise AssertionError(f"{told} {''.join(server.log)}")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """An artifact that may be replaced."""
    return write_model(tmp_path / "own.pocket", name="first")


def test_replacing_the_file_is_noticed(own):
    with served(own, "--reload", "0.02") as server:
        write_model(own, seed=1, name="second")
        told = until(server, lambda told: told["model"] == "second")
        assert told["sha256"] == read_artifact(own).sha256
        assert httpx.post(f"{server.url}/score", json=BODY).json()["scores"] == pytest.approx([says(1)])
        own.unlink()
        shutil.copy(write_model(own.with_name("third.pocket"), seed=2, name="third"), own)
        until(server, lambda told: told["model"] == "third")


def test_a_hangup_loads_it_again(own):
    with served(own, "--reload", "0") as server:
        write_model(own, seed=1, name="second")
        server.process.send_signal(signal.SIGHUP)
        until(server, lambda told: told["model"] == "second")


def test_a_hangup_while_it_loads_is_kept(own, tmp_path):
    second = write_model(tmp_path / "second.pocket", seed=1, name="second")
    code = f"""
import os, shutil, signal
from pocketrec.serving import Settings, server
create_app = server.create_app
def create_and_replace(*args):
    app = create_app(*args)
    shutil.copy({str(second)!r}, {str(own)!r})
    os.kill(os.getpid(), signal.SIGHUP)
    return app
server.create_app = create_and_replace
server.serve({str(own)!r}, Settings(reload_seconds=0), port=0)
"""
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert any("serving second" in line for line in process.stderr), "the signal was lost, or ended it"
        finally:
            process.kill()


BAD = {
    "cut short": lambda path: os.truncate(path, path.stat().st_size // 2),
    "a bit flipped": lambda path: path.write_bytes(path.read_bytes()[:900] + b"!" + path.read_bytes()[901:]),
    "empty": lambda path: path.write_bytes(b""),
    "something else": lambda path: path.write_text("not an artifact"),
    "gone": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("how", BAD)
def test_a_file_that_is_refused_changes_nothing(asked, own, how, caplog):
    """Written over in place, too: the model that answers must not live in the file."""

    async def work(client, app):
        before = (await client.get("/healthz")).json()
        assert before["refused"] is None
        BAD[how](own)
        answer = await client.post("/reload", headers=TOKEN)
        assert answer.status_code == 409
        scored = await client.post("/score", json=BODY, headers=TOKEN)
        assert scored.json() == {"scores": [pytest.approx(says(0))], "model": "first"}
        after = (await client.get("/healthz")).json()
        assert after["refused"]["message"]
        assert own.name in after["refused"]["message"]
        assert str(own.parent) not in after["refused"]["message"], "where it lies is not for everybody"
        assert str(own) in caplog.text
        assert {**after, "refused": None, "uptime_seconds": 0} == {**before, "uptime_seconds": 0}
        counted = (await client.get("/metrics", headers=TOKEN)).text
        assert 'pocketrec_model_loads_total{outcome="refused"} 1.0' in counted
        assert "keeps answering" in caplog.text

        shutil.rmtree(own, ignore_errors=True)
        write_model(own, seed=1, name="second")
        answer = await client.post("/reload", headers=TOKEN)
        assert answer.json()["model"] == "second"
        assert (await client.get("/healthz")).json()["refused"] is None

    asked(work, path=own, token="right", reload_seconds=0)


def test_reloading_under_load_drops_nothing(own):
    """Every answer is 200 and one model's whole: three clients, a dozen reloads."""
    answers: list[tuple[int, Any]] = []
    done = threading.Event()
    known = {name: pytest.approx([says(seed)] * 300, abs=1e-6) for seed, name in enumerate(("first", "second"))}

    def ask(url: str) -> None:
        with httpx.Client(base_url=url, headers=TOKEN) as client:
            while not done.is_set():
                answer = client.post("/score", json={"rows": [ROW] * 300})
                answers.append((answer.status_code, answer.json()))

    with served(own, "--reload", "0", POCKETREC_TOKEN="right") as server:
        threads = [threading.Thread(target=ask, args=(server.url,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(1, 13):
            write_model(own, seed=number % 2, name=("first", "second")[number % 2])
            assert httpx.post(f"{server.url}/reload", headers=TOKEN).status_code == 200
        done.set()
        for thread in threads:
            thread.join()
    assert {status for status, _ in answers} == {200}
    assert {told["model"] for _, told in answers} == {"first", "second"}
    assert all(told["scores"] == known[told["model"]] for _, told in answers)


def test_the_old_model_is_let_go(asked, own):
    """Else every reload would keep its memory."""

    async def work(client, app):
        await client.post("/score", json=BODY)
        old = weakref.ref(app.state.holder.current.model)
        assert await app.state.holder.reload()
        await client.post("/score", json=BODY)
        gc.collect()
        return old() is None

    assert asked(work, path=own)


def test_a_server_that_cannot_score_does_not_start(own, tmp_path):
    from pocketrec.cli import main

    os.truncate(own, 100)
    assert main(["serve", str(own), "--port", "0"]) == 1
    assert main(["serve", str(tmp_path / "nothing.pocket"), "--port", "0"]) == 1
