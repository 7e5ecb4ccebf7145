"""The weights: the safetensors format, read into views and written from arrays, with NumPy alone.

Stricter than the format where it may be: one dtype list, tensors in the order of their bytes without a gap, each
aligned to its items, header small.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketrec.artifact import json_text
from pocketrec.artifact.errors import ArtifactError, damaged

DTYPES: dict[str, np.dtype[Any]] = {
    "I64": np.dtype("<i8"),
    "U64": np.dtype("<u8"),
    "F64": np.dtype("<f8"),
    "I32": np.dtype("<i4"),
    "U32": np.dtype("<u4"),
    "F32": np.dtype("<f4"),
    "I16": np.dtype("<i2"),
    "U16": np.dtype("<u2"),
    "F16": np.dtype("<f2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
}
"""Word of the file -> NumPy's."""
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
"""A tensor's name: no separators, nothing that could be a path."""
_WORDS: dict[np.dtype[Any], str] = {dtype: word for word, dtype in DTYPES.items()}
_LENGTH = 8  # bytes of the header's length
_ALIGNMENT = 64
MAX_RANK = 8
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Place:
    """Where a tensor lies."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    """From the first byte of the entry."""
    length: int
    """In bytes."""


def places(entry: memoryview) -> dict[str, Place]:
    """Of every tensor in a safetensors entry. Raises ArtifactError where the header is not that of such an entry."""
    if len(entry) < _LENGTH:
        raise damaged("model.safetensors is too short for its header")
    header = int.from_bytes(entry[:_LENGTH], "little")
    begin = _LENGTH + header
    if begin > len(entry):
        raise damaged(f"model.safetensors says that its header has {header} bytes, and it has {len(entry)} in all")
    if begin % _ALIGNMENT:
        raise damaged(f"model.safetensors: its tensors begin at byte {begin}, which is no multiple of {_ALIGNMENT}")
    told = json_text.parse(entry[_LENGTH:begin], "the header of model.safetensors")
    told.pop("__metadata__", None)
    found = {name: _place(name, about, begin) for name, about in told.items()}
    end = begin
    for name, place in sorted(found.items(), key=lambda each: (each[1].offset, each[1].length)):
        if place.offset != end:
            raise damaged(f"tensor {name} begins at byte {place.offset}, and those before it end at {end}")
        end += place.length
    if end != len(entry):
        raise damaged(f"model.safetensors has {len(entry)} bytes, its tensors end at {end}")
    return found


def _place(name: str, about: Any, begin: int) -> Place:
    if not NAME.fullmatch(name) or ".." in name:
        raise damaged(f"a tensor is called {name[:60]!r}; names are letters, digits, _ . and -")
    if not isinstance(about, dict) or about.keys() != {"dtype", "shape", "data_offsets"}:
        raise damaged(f"tensor {name} is not described by dtype, shape and data_offsets alone")
    dtype, shape, offsets = about["dtype"], about["shape"], about["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise damaged(f"tensor {name} has dtype {str(dtype)[:20]!r}; known are {', '.join(DTYPES)}")
    if not _counts(shape) or len(shape) > MAX_RANK:
        raise damaged(f"tensor {name} has shape {str(shape)[:60]}; a shape is a list of at most {MAX_RANK} sizes")
    if not _counts(offsets) or len(offsets) != 2:
        raise damaged(f"tensor {name} has data_offsets {str(offsets)[:60]}; they are where it begins and ends")
    first, last = offsets
    item = DTYPES[dtype].itemsize
    if last - first != math.prod(shape) * item:
        raise damaged(f"tensor {name} of {dtype} {shape} takes other than the {last - first} bytes it is given")
    if first % item:
        raise damaged(f"tensor {name} begins at byte {first}, which is no multiple of its items' {item}")
    return Place(dtype, tuple(shape), begin + first, last - first)


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(each) is int and 0 <= each < 1 << 40 for each in value)


def views(entry: memoryview, where: Mapping[str, Place]) -> dict[str, np.ndarray]:
    """Read-only arrays over the entry's own bytes. Raises ArtifactError for a weight that is no finite number."""
    arrays = {}
    for name, place in where.items():
        count = math.prod(place.shape)
        array = np.frombuffer(entry, DTYPES[place.dtype], count, place.offset) if count else _empty(place)
        arrays[name] = array.reshape(place.shape)
        arrays[name].flags.writeable = False
        if count and array.dtype.kind == "f" and not _all_finite(array):
            raise damaged(f"tensor {name} holds NaN or infinity, which no trained model does")
    return arrays


def _empty(place: Place) -> np.ndarray:
    return np.zeros(0, DTYPES[place.dtype])


def _all_finite(array: np.ndarray) -> bool:
    """Without an array of truths as long as the weights."""
    if array.dtype.itemsize == 2:  # NumPy computes on halves one by one
        bits = array.view("<u2")
        return not any(((bits[i : i + _BLOCK] & 0x7C00) == 0x7C00).any() for i in range(0, len(bits), _BLOCK))
    return bool(np.isfinite(array.min()) and np.isfinite(array.max()))


def offsets_of(tensors: Mapping[str, np.ndarray]) -> dict[str, tuple[int, int]]:
    """(offset, length) in bytes of each tensor within the entry that holds exactly these, as `pieces` writes it."""
    _, where = _laid_out(tensors)
    return {name: (place.offset, place.length) for name, place in where.items()}


def pieces(tensors: Mapping[str, np.ndarray]) -> Iterator[memoryview]:
    """The bytes of a safetensors entry, without a copy of the weights."""
    header, where = _laid_out(tensors)
    yield memoryview(header)
    for name in where:
        array = np.ascontiguousarray(tensors[name])
        yield array.reshape(-1).view("u1").data if array.size else memoryview(b"")


def _laid_out(tensors: Mapping[str, np.ndarray]) -> tuple[bytes, dict[str, Place]]:
    """The header, and the places in the order of bytes: wide items first, so that all lie aligned without gaps."""
    order = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    told: dict[str, dict[str, Any]] = {}
    end = 0
    for name in order:
        array = tensors[name]
        if array.dtype not in _WORDS:
            raise ArtifactError(f"tensor {name} of {array.dtype}: an artifact holds {', '.join(map(str, _WORDS))}")
        begin, end = end, end + array.nbytes
        told[name] = {"dtype": _WORDS[array.dtype], "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(told, separators=(",", ":")).encode()
    text += b" " * (-(_LENGTH + len(text)) % _ALIGNMENT)
    begin = _LENGTH + len(text)
    where = {
        name: Place(each["dtype"], tuple(each["shape"]), begin + each["data_offsets"][0], tensors[name].nbytes)
        for name, each in told.items()
    }
    return len(text).to_bytes(_LENGTH, "little") + text, where
