"""SIGTERM finishes what is in flight, refuses what is new, and is no failure."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest
from conftest import served
from small_models import ROW
from sockets import answer, connected, ends, head

BODY = json.dumps({"rows": [ROW]}).encode()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_what_is_in_flight_is_finished(artifact, stop):
    with served(artifact) as server, connected(server) as busy, connected(server) as idle:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert answer(idle)[0] == 200
        busy.sendall(head(len(BODY), "expect: 100-continue"))
        assert busy.recv(100).startswith(b"HTTP/1.1 100"), "it waits for the body"
        server.process.send_signal(stop)
        assert ends(idle), "an idle connection is closed"
        assert refuses(server)
        busy.sendall(BODY)
        status, headers, told = answer(busy)
        assert (status, headers["connection"], len(told["scores"])) == (200, "close", 1)
        assert server.process.wait(timeout=20) == 0


def refuses(server) -> bool:
    """Whether it comes to refuse connections, in 20 seconds."""
    begun = time.monotonic()
    while time.monotonic() - begun < 20:
        try:
            connected(server).close()
        except ConnectionRefusedError:
            return True
    return False


def test_a_signal_before_it_answers_is_not_lost(artifact):
    code = f"""
import os, signal, uvicorn
from pocketrec.serving import serve
run = uvicorn.Server.run
def stopped_early(self, sockets):
    os.kill(os.getpid(), signal.SIGTERM)
    run(self, sockets)
uvicorn.Server.run = stopped_early
serve({str(artifact)!r}, port=0)
"""
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert not any("listening" in line for line in process.stderr)
            assert process.wait(20) == -signal.SIGTERM
        finally:
            process.kill()


def test_a_client_that_never_ends_is_not_waited_for(artifact):
    """The body's own time limit ends it."""
    with served(artifact, "--timeout", "0.3") as server, connected(server) as stuck:
        stuck.sendall(head(1000, "expect: 100-continue"))
        assert stuck.recv(100).startswith(b"HTTP/1.1 100"), "it waits for the body"
        stuck.sendall(b"{")
        server.process.send_signal(signal.SIGTERM)
        assert answer(stuck)[0] == 408
        assert server.process.wait(timeout=20) == 0
