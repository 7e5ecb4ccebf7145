"""HTTP by hand, for requests that no client would send."""

from __future__ import annotations

import json
import socket
from typing import Any

from conftest import Server


def connected(server: Server) -> socket.socket:
    """A socket to it; nothing waits longer than a test may."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def head(length: int | None = None, *lines: str, path: str = "/score") -> bytes:
    """The head of a POST of JSON."""
    told = [f"POST {path} HTTP/1.1", "host: x", "content-type: application/json", *lines]
    if length is not None:
        told.append(f"content-length: {length}")
    return ("\r\n".join(told) + "\r\n\r\n").encode()


def answer(sock: socket.socket) -> tuple[int, dict[str, str], Any]:
    """(status, headers, JSON) of the next answer on it."""
    file = sock.makefile("rb")
    status = int(file.readline().split()[1])
    headers: dict[str, str] = {}
    while line := file.readline().strip():
        name, _, value = line.decode().partition(": ")
        headers[name.lower()] = value
    return status, headers, json.loads(file.read(int(headers["content-length"])))


def ends(sock: socket.socket) -> bool:
    """Whether the other side has closed it."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True
