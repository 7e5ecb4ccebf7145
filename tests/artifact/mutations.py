"""Mutated artifacts, from a seed: bytes as they are damaged, and contents changed by someone who seals them again."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from typing import Any

import made

from pocketrec.artifact.archive import GRAPH, RECIPE, TENSORS

NUMBERS = (0, 1, -1, 7, 63, 1 << 20, 1 << 31, 1 << 40, 1 << 63, 1 << 64, -(1 << 63), 1e308, 0.5)
WORDS = ("", "a", "../x", "/etc/passwd", "a/b", "C:\\x", "\x00", "\ud800", "é" * 300, "model.onnx", "NaN", "ids", "F32")


def damaged(base: bytes, draw: random.Random) -> bytes:
    """A file whose bytes have changed, one to three times."""
    changed = bytearray(base)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        draw.choice(_DAMAGES)(changed, draw)
    return bytes(changed)


def _place(file: bytearray, draw: random.Random) -> int:
    """Headers at both ends as often as anything between."""
    size = max(1, len(file))
    return draw.choice(
        (draw.randrange(size), draw.randrange(min(size, 120)), size - 1 - draw.randrange(min(size, 250)))
    )


def _flip(file: bytearray, draw: random.Random) -> None:
    if file:
        file[_place(file, draw)] ^= 1 << draw.randrange(8)


def _overwrite(file: bytearray, draw: random.Random) -> None:
    at, length = _place(file, draw), draw.choice((1, 2, 4, 8))
    file[at : at + length] = draw.choice((b"\x00", b"\xff", b"\x7f", draw.randbytes(1))) * length


def _cut(file: bytearray, draw: random.Random) -> None:
    del file[_place(file, draw) :]


def _remove(file: bytearray, draw: random.Random) -> None:
    at = _place(file, draw)
    del file[at : at + draw.randrange(1, 64)]


def _insert(file: bytearray, draw: random.Random) -> None:
    at = _place(file, draw)
    file[at:at] = draw.randbytes(draw.randrange(1, 32))


def _copy(file: bytearray, draw: random.Random) -> None:
    start, at = _place(file, draw), _place(file, draw)
    file[at:at] = file[start : start + draw.randrange(1, 200)]


_DAMAGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip,
    _flip,
    _overwrite,
    _cut,
    _remove,
    _insert,
    _copy,
)


def resealed(entries: dict[str, bytes], draw: random.Random) -> bytes:
    """A file of which one entry says something else, and every checksum and size agrees with that."""
    changed = dict(entries)
    name = draw.choice((RECIPE, TENSORS, GRAPH, GRAPH))
    if name == RECIPE:
        changed[RECIPE] = _other_json(entries[RECIPE], draw)
        return made.packed(changed)
    changed[name] = _other_tensors(entries[TENSORS], draw) if name == TENSORS else damaged(entries[GRAPH], draw)
    told = json.loads(entries[RECIPE])
    told["files"][name] = {"bytes": len(changed[name]), "sha256": hashlib.sha256(changed[name]).hexdigest()}
    changed[RECIPE] = json.dumps(told).encode()
    return made.packed(changed)


def _other_tensors(entry: bytes, draw: random.Random) -> bytes:
    """Another header, or other weights."""
    length = int.from_bytes(entry[:8], "little")
    header, data = entry[8 : 8 + length], bytearray(entry[8 + length :])
    if draw.random() < 0.25:
        _overwrite(data, draw)
    if draw.random() < 0.75:
        header = _other_json(header.strip(), draw)
        header += b" " * (-(8 + len(header)) % 64)
    claimed = len(header) if draw.random() < 0.9 else draw.choice((0, 1, 1 << 31, 1 << 62, (1 << 64) - 1))
    return claimed.to_bytes(8, "little") + header + data


def _other_json(text: bytes, draw: random.Random) -> bytes:
    """The same JSON with one value changed, removed, added or nested; or its text damaged."""
    if draw.random() < 0.2:
        return damaged(text, draw)
    told = json.loads(text)
    holder, key = draw.choice(list(_values(told)))
    action = draw.random()
    if action < 0.2:
        del holder[key]
    elif action < 0.3 and isinstance(holder, dict):
        holder[draw.choice(WORDS)] = _value(draw)
    elif action < 0.4:
        holder[key] = [holder[key]]
    else:
        holder[key] = _value(draw)
    return json.dumps(told).encode("utf-8", "surrogatepass")


def _value(draw: random.Random) -> Any:
    return draw.choice((None, True, {}, [], [0], {"id": 1}, draw.choice(NUMBERS), draw.choice(WORDS), float("nan")))


def _values(told: Any) -> Any:
    """(holder, key) of every value within."""
    for key, value in list(told.items() if isinstance(told, dict) else enumerate(told)):
        yield told, key
        if isinstance(value, dict | list):
            yield from _values(value)
