"""model.onnx, looked through without the onnx package: what it reads, takes and gives, before a runtime sees it.

Field numbers are those of onnx.proto. A graph may use the operators of ONNX itself, no subgraphs (so no loop), no
functions, and external data only from the tensors of the file it came in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from pocketrec.artifact.archive import TENSORS
from pocketrec.artifact.errors import ArtifactError, damaged
from pocketrec.artifact.tensors import DTYPES, MAX_RANK, Place
from pocketrec.artifact.wire import BYTES, VARINT, fields, varints

OPSET = 20
LIMIT = 1 << 22
"""Bytes of a graph that are read at most: those of 26 features have some 20,000."""
FLOAT, INT64 = 1, 7
_ORDER = ("F32", "U8", "I8", "U16", "I16", "I32", "I64", "", "", "F16", "F64", "U32", "U64")
_CODES = {word: code for code, word in enumerate(_ORDER, 1) if word}
_WORDS = {code: word for word, code in _CODES.items()}
_BOOL, _FLOAT16 = 9, 10
_FLOATS = {4: DTYPES["F32"], 10: DTYPES["F64"]}  # the fields of a tensor that hold numbers one by one
_RANDOM = ("Random", "Bernoulli", "Multinomial", "Dropout")
_SHOWN = 40
_T = TypeVar("_T")
_Value = tuple[str, int, list[int | None]]
"""(name, element type, sizes; None where one is free) of an input or output; type 0 for what is no tensor."""

# Of each message the fields that are understood, and their wire types; others are refused.
_MODEL = {1: VARINT, 2: BYTES, 3: BYTES, 4: BYTES, 5: VARINT, 6: BYTES, 7: BYTES, 8: BYTES, 14: BYTES}
_GRAPH = {1: BYTES, 2: BYTES, 5: BYTES, 10: BYTES, 11: BYTES, 12: BYTES, 13: BYTES, 16: BYTES}
_NODE = {1: BYTES, 2: BYTES, 3: BYTES, 4: BYTES, 5: BYTES, 6: BYTES, 7: BYTES, 9: BYTES}
_SUBGRAPH, _SUBGRAPHS, _TENSOR_ATTRIBUTE = 6, 11, 5
_FLOAT_ATTRIBUTES = (2, 7)
_ATTRIBUTE = frozenset({1, 2, 3, 4, _TENSOR_ATTRIBUTE, 7, 8, 9, 13, 20})


@dataclass(frozen=True)
class Signature:
    """What a graph takes and gives."""

    n_dense: int
    features: int


def check(model: memoryview, where: Mapping[str, Place], signature: Signature) -> None:
    """Raise ArtifactError unless the model is one graph of `signature` whose weights are the tensors at `where`."""
    if len(model) > LIMIT:
        raise damaged(f"model.onnx has {len(model)} bytes; with its weights outside it has at most {LIMIT}")
    graphs: list[memoryview] = []
    opsets: list[tuple[str, int]] = []
    for number, content in _known(model, _MODEL, "the model"):
        if number == 7:
            _add(graphs, content, 1, "graphs")
        elif number == 8:
            _add(opsets, _opset(content), 1, "opsets")
    if opsets != [("", OPSET)]:
        raise ArtifactError(
            f"model.onnx is of opset {opsets}; this pocketrec reads {OPSET} of ONNX's own operators alone: export the "
            "run again, or upgrade pocketrec"
        )
    if not graphs:
        raise damaged("model.onnx holds no graph")
    _check_graph(graphs[0], _Weights(where), signature)


def _add(to: list[_T], each: _T, most: int, what: str) -> None:
    """What a file repeats without end must not be kept, nor be told in an error."""
    if len(to) == most:
        raise damaged(f"model.onnx holds more {what} than {most}")
    to.append(each)


def _known(message: memoryview, known: Mapping[int, int], what: str) -> Iterator[tuple[int, memoryview]]:
    for number, wire, _, content in fields(message):
        if known.get(number) != wire:
            raise damaged(f"model.onnx: {what} holds a field {number} that an exported graph has not")
        yield number, content


def _opset(message: memoryview) -> tuple[str, int]:
    domain, version = "", 0
    for number, _, value, content in fields(message):
        if number == 1:
            domain = _text(content)[:_SHOWN]
        elif number == 2:
            version = value
    return ("" if domain == "ai.onnx" else domain), version


def _check_graph(graph: memoryview, weights: _Weights, signature: Signature) -> None:
    inputs: list[_Value] = []
    outputs: list[_Value] = []
    for number, content in _known(graph, _GRAPH, "the graph"):
        if number == 1:
            _check_node(content)
        elif number == 5:
            weights.check(content)
        elif number == 11:
            _add(inputs, _value(content), 2, "inputs")
        elif number == 12:
            _add(outputs, _value(content), 1, "outputs")
    wanted: list[_Value] = [("dense", FLOAT, [None, signature.n_dense])] if signature.n_dense else []
    wanted += [("ids", INT64, [None, signature.features])]
    if sorted(inputs, key=str) != sorted(wanted, key=str):
        raise damaged(f"model.onnx takes {_shown(inputs)}, and by the recipe it should take {_shown(wanted)}")
    given: list[_Value] = [("probability", FLOAT, [None])]
    if outputs != given:
        raise damaged(f"model.onnx gives {_shown(outputs)}, not {_shown(given)}")


def _check_node(node: memoryview) -> None:
    word, domain = "?", ""
    for number, content in _known(node, _NODE, "a node"):
        if number == 4:
            word = _text(content)
        elif number == 7:
            domain = _text(content)
        elif number == 5:
            _check_attribute(content)
    if domain not in ("", "ai.onnx"):
        raise damaged(f"model.onnx uses {word[:_SHOWN]!r} of {domain[:_SHOWN]!r}; it may use ONNX's own operators")
    if word.startswith(_RANDOM):
        raise damaged(f"model.onnx uses {word[:_SHOWN]!r}: a model scores a row alike every time")


def _check_attribute(attribute: memoryview) -> None:
    for number, _, _, content in fields(attribute):
        if number in (_SUBGRAPH, _SUBGRAPHS):
            raise damaged(
                "model.onnx holds a graph within its graph (a loop or a branch), which an exported one has not"
            )
        if number not in _ATTRIBUTE:
            raise damaged(f"model.onnx: an attribute holds a field {number} that an exported graph has not")
        if number in _FLOAT_ATTRIBUTES and not _are_finite(content, DTYPES["F32"]):
            raise damaged("model.onnx: an attribute is NaN or infinite")
        if number == _TENSOR_ATTRIBUTE and _Tensor(content).external is not None:
            raise damaged("model.onnx: an attribute reads its value from a file")


class _Tensor:
    """A TensorProto, as far as it matters where its values come from."""

    def __init__(self, message: memoryview) -> None:
        self.name, self.dims, self.code = "", [], 0  # type: str, list[int], int
        self.external: dict[str, str] | None = None
        self.raw: memoryview | None = None
        self.finite = True
        location = 0
        for number, wire, value, content in fields(message):
            if number == 1:
                self.dims += islice(varints(wire, value, content), MAX_RANK + 1)
            elif number == 2:
                self.code = value
            elif number == 8:
                self.name = _text(content)
            elif number == 9:
                self.raw = content
            elif number == 13:
                self._add(content)
            elif number == 14:
                location = value
            elif number in _FLOATS:
                self.finite &= _are_finite(content, _FLOATS[number])
            elif number not in (5, 7, 11, 12):
                raise damaged(f"model.onnx: a tensor holds a field {number} that an exported one has not")
        if (location == 1) != (self.external is not None) or location > 1:
            raise damaged(f"model.onnx: tensor {self.name[:60]!r} is said to be both within and outside")
        self._check_values(len(message))

    def _add(self, message: memoryview) -> None:
        pair = {number: _text(content) for number, _, _, content in fields(message)}
        self.external = self.external or {}
        if pair.keys() != {1, 2} or pair[1] in self.external:
            raise damaged(f"model.onnx: tensor {self.name[:60]!r} tells in two ways where it lies")
        self.external[pair[1]] = pair[2]

    def _check_values(self, held: int) -> None:
        """A tensor without a file cannot be larger than what it is written with: no memory is taken for nothing."""
        if len(self.dims) > MAX_RANK:
            raise damaged(f"model.onnx: tensor {self.name[:60]!r} has more than {MAX_RANK} sizes")
        count = math.prod(self.dims)
        if self.external is not None:
            return
        dtype = np.dtype(np.bool_) if self.code == _BOOL else DTYPES.get(_WORDS.get(self.code, ""))
        if dtype is None:
            raise damaged(f"model.onnx: tensor {self.name[:60]!r} is of type {self.code}, which is unknown")
        if count > held or (self.raw is not None and len(self.raw) != count * dtype.itemsize):
            raise damaged(f"model.onnx: tensor {self.name[:60]!r} of shape {self.dims} is not as long as its values")
        if self.code == _FLOAT16 and count and self.raw is None:
            raise damaged(f"model.onnx: tensor {self.name[:60]!r} spells out halves; they are written as raw bytes")
        if not self.finite or (self.raw is not None and not _are_finite(self.raw, dtype)):
            raise damaged(f"model.onnx: tensor {self.name[:60]!r} holds NaN or infinity")


def _are_finite(values: memoryview, dtype: np.dtype[Any]) -> bool:
    return len(values) % dtype.itemsize == 0 and bool(np.isfinite(np.frombuffer(values, dtype)).all())


class _Weights:
    """The tensors of the file, by where they lie."""

    def __init__(self, where: Mapping[str, Place]) -> None:
        self._at = {(place.offset, place.length): place for place in where.values()}

    def check(self, message: memoryview) -> None:
        """Raise ArtifactError for an initialiser that reads from elsewhere than one tensor of the file."""
        tensor = _Tensor(message)
        if tensor.external is None:
            return
        told = tensor.external
        if told.get("location") != TENSORS:
            raise damaged(
                f"model.onnx: tensor {tensor.name[:60]!r} reads from {told.get('location', '')[:60]!r}; weights lie in "
                f"{TENSORS} and nowhere else"
            )
        offset, length = (told.get(name, "") for name in ("offset", "length"))
        if not (offset.isascii() and offset.isdigit() and length.isascii() and length.isdigit()) or len(offset) > 20:
            raise damaged(f"model.onnx: tensor {tensor.name[:60]!r} does not say where in {TENSORS} it lies")
        place = self._at.get((int(offset), int(length[:20])))
        if place is None or told.keys() - {"location", "offset", "length", "checksum"}:
            raise damaged(
                f"model.onnx: tensor {tensor.name[:60]!r} lies at {offset}, where {TENSORS} has no such tensor"
            )
        item = DTYPES[place.dtype].itemsize
        if tensor.code != _CODES[place.dtype] or math.prod(tensor.dims) * item != place.length:
            raise damaged(
                f"model.onnx: tensor {tensor.name[:60]!r} of type {tensor.code} and shape {tensor.dims} is a "
                f"{place.dtype} of shape {list(place.shape)} in {TENSORS}"
            )


def _value(message: memoryview) -> _Value:
    name, code, sizes = "", 0, []  # type: str, int, list[int | None]
    for number, _, _, content in fields(message):
        if number == 1:
            name = _text(content)
        elif number == 2:
            code, sizes = _tensor_type(content)
    return name, code, sizes


def _tensor_type(message: memoryview) -> tuple[int, list[int | None]]:
    code, sizes = 0, []  # type: int, list[int | None]
    for kind, _, _, tensor in fields(message):
        if kind != 1:
            continue
        for number, _, value, content in fields(tensor):
            if number == 1:
                code = value
            elif number == 2:
                sizes += islice((_size(dim) for part, _, _, dim in fields(content) if part == 1), MAX_RANK + 1)
                if len(sizes) > MAX_RANK:
                    raise damaged(f"model.onnx: an input or output has more than {MAX_RANK} sizes")
    return code, sizes


def _size(message: memoryview) -> int | None:
    return next((value for number, _, value, _ in fields(message) if number == 1), None)


def _text(content: memoryview) -> str:
    try:
        return bytes(content).decode("utf-8")
    except UnicodeDecodeError:
        raise damaged("model.onnx is broken: a name that is no text") from None


def _shown(values: Sequence[_Value]) -> str:
    told = []
    for name, code, sizes in values:
        shape = "x".join("B" if n is None else str(n) for n in sizes)
        told.append(f"{name[:_SHOWN]} {shape} of type {code}")
    return ", ".join(told) or "nothing"
