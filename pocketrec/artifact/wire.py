"""Protocol buffers, as far as a message is a list of numbered fields: https://protobuf.dev/programming-guides/encoding."""

from __future__ import annotations

from collections.abc import Iterator

from pocketrec.artifact.errors import damaged

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

Field = tuple[int, int, int, memoryview]
"""(number, wire type, the value if it is a varint, the bytes if it has any)."""

_NONE = memoryview(b"")


def fields(message: memoryview) -> Iterator[Field]:
    """The fields of a message, in order. Raises ArtifactError where it is none."""
    position, end = 0, len(message)
    while position < end:
        key, position = _varint(message, position)
        number, wire = key >> 3, key & 7
        value, content = 0, _NONE
        if wire == VARINT:
            value, position = _varint(message, position)
        else:
            if wire == BYTES:
                length, position = _varint(message, position)
            elif wire in (FIXED64, FIXED32):
                length = 8 if wire == FIXED64 else 4
            else:
                raise damaged(f"model.onnx is broken: a field of wire type {wire}")
            if length > end - position:
                raise damaged("model.onnx is broken: a field is longer than what holds it")
            content = message[position : position + length]
            position += length
        yield number, wire, value, content


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """(value, position after it); at most 64 bits."""
    value = shift = 0
    while True:
        if position >= len(message) or shift > 63:
            raise damaged("model.onnx is broken: a number without an end")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
        shift += 7


def varints(wire: int, value: int, content: memoryview) -> Iterator[int]:
    """The numbers of a repeated varint field, packed or not."""
    if wire == VARINT:
        yield value
        return
    position = 0
    while position < len(content):
        each, position = _varint(content, position)
        yield each
