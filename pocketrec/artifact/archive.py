"""The outer file: a zip of three stored entries, read so strictly that there is one way to understand it.

A zip reader that is lenient finds in a hostile file what another does not: names that lead elsewhere, entries that
overlap, hide or inflate. Here the whole file is accounted for, byte by byte, before anything is taken from it.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import BinaryIO

from pocketrec.artifact.errors import ArtifactError, damaged

RECIPE, TENSORS, GRAPH = NAMES = ("recipe.json", "model.safetensors", "model.onnx")
ALIGNMENT = 64
"""Each entry's bytes begin at a multiple of it, so that weights can be used where they lie."""
SIZE_LIMIT = (1 << 32) - 1
"""Of the whole file: no zip64."""

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_LOCAL_MARK, _CENTRAL_MARK, _END_MARK = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_UTF8 = 0x800
_VERSION = 10  # of the zip format: stored entries
_DAY = 0x21  # 1 January 1980: the same model gives the same bytes
_PADDING = 0x6B70  # an extra field that no zip reader knows: "pk"


def entries(file: memoryview) -> dict[str, memoryview]:
    """The bytes of each entry, as views. Raises ArtifactError for anything but a zip as `write_entries` writes it.

    Dates, versions, attributes and the contents of extra fields do not matter; a checksum that does not fit does.
    """
    position, first = 0, _central_directory(file)
    found, cursor = {}, first
    for name in NAMES:
        central, cursor = _central(file, cursor, name)
        crc, size, offset = central
        if offset != position:
            raise damaged(f"entry {name} is said to begin at byte {offset}, and bytes before it end at {position}")
        begin = _data_begins(file, offset, name, crc, size)
        position = begin + size
        if position > first:
            raise damaged(f"entry {name} of {size} bytes reaches into the list of entries")
        if begin % ALIGNMENT:
            raise damaged(f"entry {name} is not aligned to {ALIGNMENT} bytes; another program has packed this file")
        found[name] = file[begin:position]
        if zlib.crc32(found[name]) != crc:
            raise damaged(f"entry {name} does not fit its checksum, so its bytes have changed")
    if (position, cursor) != (first, len(file) - _END.size):
        raise damaged(f"there are other bytes than the entries {', '.join(NAMES)}")
    return found


def _central_directory(file: memoryview) -> int:
    """Where the list of entries begins."""
    if len(file) > SIZE_LIMIT:
        raise ArtifactError(f"{len(file)} bytes: an artifact is below 4 GiB; is this the right file?")
    if len(file) < _END.size + len(NAMES) * (_LOCAL.size + _CENTRAL.size):
        raise damaged(f"{len(file)} bytes are too few for an artifact")
    if bytes(file[:4]) != _LOCAL_MARK:
        raise ArtifactError("not a pocketrec artifact: write one with pocketrec export RUN --out FILE.pocket")
    mark, disk, central_disk, here, total, size, offset, comment = _END.unpack(file[-_END.size :])
    if mark != _END_MARK or comment:
        raise damaged("the file does not end as an artifact does; it is cut short, or more was added")
    if (disk, central_disk, here, total) != (0, 0, len(NAMES), len(NAMES)):
        raise damaged(f"{total} entries; an artifact has {len(NAMES)}: {', '.join(NAMES)}")
    if offset + size != len(file) - _END.size:
        raise damaged("the list of entries is not where the end of the file says")
    return int(offset)


def _central(file: memoryview, cursor: int, wanted: str) -> tuple[tuple[int, int, int], int]:
    """((crc, size, offset) of the next entry, which must be `wanted`, where the one after it begins)."""
    if cursor + _CENTRAL.size > len(file):
        raise damaged(f"the list of entries ends before {wanted}")
    mark, _, _, flags, method, _, _, crc, packed, size, name, extra, comment, disk, _, _, offset = _CENTRAL.unpack(
        file[cursor : cursor + _CENTRAL.size]
    )
    if mark != _CENTRAL_MARK or comment or disk:
        raise damaged(f"the list of entries is broken before {wanted}")
    cursor += _CENTRAL.size
    _check_entry(bytes(file[cursor : cursor + name]), wanted, flags, method, packed, size)
    return (crc, size, offset), cursor + name + extra


def _data_begins(file: memoryview, offset: int, wanted: str, crc: int, size: int) -> int:
    """Where the bytes of an entry begin; its own header must say what the list of entries says."""
    if offset + _LOCAL.size > len(file):
        raise damaged(f"entry {wanted} begins outside the file")
    mark, _, flags, method, _, _, own_crc, packed, own_size, name, extra = _LOCAL.unpack(
        file[offset : offset + _LOCAL.size]
    )
    begin = offset + _LOCAL.size
    _check_entry(bytes(file[begin : begin + name]), wanted, flags, method, packed, own_size)
    if mark != _LOCAL_MARK or (own_crc, own_size) != (crc, size):
        raise damaged(f"entry {wanted} is told in two ways")
    return int(begin + name + extra)


def _check_entry(name: bytes, wanted: str, flags: int, method: int, packed: int, size: int) -> None:
    if name != wanted.encode():
        shown = name[:60].decode("utf-8", "replace")
        raise damaged(f"entry {shown!r} where {wanted} belongs; an artifact holds {', '.join(NAMES)} and nothing else")
    if method or packed != size:
        raise damaged(f"entry {wanted} is compressed; entries are stored, so that weights are used where they lie")
    if flags & ~_UTF8:
        raise damaged(f"entry {wanted} is encrypted or streamed (flags {flags:#x}); entries are stored plainly")


def write_entries(file: BinaryIO, contents: Sequence[Iterable[memoryview]]) -> None:
    """Write the zip: for each of `NAMES` its bytes, in pieces. Raises ArtifactError above 4 GiB."""
    listed = []
    for name, pieces in zip(NAMES, contents, strict=True):
        offset = file.tell()
        filler = -(offset + _LOCAL.size + len(name) + 4) % ALIGNMENT
        padding = struct.pack("<2H", _PADDING, filler) + bytes(filler)
        file.write(bytes(_LOCAL.size) + name.encode() + padding)
        crc = size = 0
        for piece in pieces:
            crc, size = zlib.crc32(piece, crc), size + len(piece)
            file.write(piece)
        if file.tell() > SIZE_LIMIT - (1 << 16):
            raise ArtifactError(
                "the model takes more than 4 GiB, the most an artifact holds: share its tables (--compression), or "
                "export it with --dtype fp16"
            )
        told = (_VERSION, 0, 0, 0, _DAY, crc, size, size, len(name))
        file.seek(offset)
        file.write(_LOCAL.pack(_LOCAL_MARK, *told, len(padding)))
        file.seek(0, os.SEEK_END)
        listed.append((name, told, offset))
    begin = file.tell()
    for name, told, offset in listed:
        file.write(_CENTRAL.pack(_CENTRAL_MARK, _VERSION, *told, 0, 0, 0, 0, 0, offset) + name.encode())
    count = len(listed)
    file.write(_END.pack(_END_MARK, 0, 0, count, count, file.tell() - begin, begin, 0))
