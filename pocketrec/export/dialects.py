"""The few integer steps that PyTorch and ONNX say differently, and hash v1 in terms of them.

PyTorch shifts int64 arithmetically and needs a mask; ONNX shifts unsigned numbers only, logically. ONNX reads negative
places from the end, PyTorch's gathers do not. Everything else is plain tensor arithmetic in both.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from pocketrec import hashing

OPSET = 20


class Dialect(Protocol):
    """How a graph says what hashing and gathering take."""

    from_the_end: bool
    """Whether `take` reads place -1 as the last one."""

    def shift_right(self, x: Tensor, bits: int) -> Tensor:
        """The logical shift of int64 numbers, zeros coming in from the left; `bits` at least 1."""
        ...

    def take(self, rows: Tensor, places: Tensor) -> Tensor:
        """(R, ...) and integers in [0, R) of any shape -> that shape + (...)."""
        ...

    def bit(self, bytes_: Tensor, number: Tensor) -> Tensor:
        """Bit `number & 7` of each uint8, `number` int64: 0 or 1, uint8."""
        ...


class Torch:
    """What `torch.export` keeps and any PyTorch runs."""

    from_the_end = False

    def shift_right(self, x: Tensor, bits: int) -> Tensor:
        """See `Dialect`."""
        return (x >> bits) & ((1 << (64 - bits)) - 1)

    def take(self, rows: Tensor, places: Tensor) -> Tensor:
        """See `Dialect`."""
        return rows[places]  # index_select knows no uint32

    def bit(self, bytes_: Tensor, number: Tensor) -> Tensor:
        """See `Dialect`."""
        return (bytes_ >> (number & 7).to(torch.uint8)) & 1


class Onnx:
    """Operators of opset 20, one each where the exporter would write many. Only for tracing: it computes nothing."""

    from_the_end = True

    def shift_right(self, x: Tensor, bits: int) -> Tensor:
        """See `Dialect`."""
        unsigned = x.to(torch.uint64)
        count = torch.tensor(bits, dtype=torch.uint64)
        shifted = _operator("BitShift", (unsigned, count), {"direction": "RIGHT"}, torch.uint64, unsigned.shape)
        return shifted.to(torch.int64)

    def take(self, rows: Tensor, places: Tensor) -> Tensor:
        """See `Dialect`."""
        if rows.dim() > 1:
            return _operator("Gather", (rows, places), {"axis": 0}, rows.dtype, (*places.shape, *rows.shape[1:]))
        # onnxruntime's Gather calls memcpy for every number; this one assigns it, in under half the time.
        flat = places.reshape(-1)
        taken = _operator("GatherElements", (rows, flat), {"axis": 0}, rows.dtype, flat.shape)
        return taken.view(-1, *places.shape[1:])

    def bit(self, bytes_: Tensor, number: Tensor) -> Tensor:
        """See `Dialect`."""
        inputs = (bytes_, number.to(torch.uint8) & 7)
        return _operator("BitShift", inputs, {"direction": "RIGHT"}, torch.uint8, bytes_.shape) & 1


def _operator(
    name: str, inputs: tuple[Tensor, ...], attributes: dict[str, Any], dtype: torch.dtype, shape: tuple[int, ...]
) -> Tensor:
    out: Tensor = torch.onnx.ops.symbolic(name, inputs, attributes, dtype=dtype, shape=shape, version=OPSET)
    return out


class Hash:
    """Hash v1 (`pocketrec.hashing`, bit for bit) in a dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._shift = dialect.shift_right

    def mix64(self, x: Tensor) -> Tensor:
        """As `hashing.mix64`."""
        x = (x ^ self._shift(x, 30)) * hashing._MULTIPLY_1
        x = (x ^ self._shift(x, 27)) * hashing._MULTIPLY_2
        return x ^ self._shift(x, 31)

    def scale(self, hashed: Tensor, n: Tensor | int) -> Tensor:
        """As `hashing.scale`."""
        return self._shift(self._shift(hashed, 32) * n, 32)

    def multiply_shift(self, ids: Tensor, factor: Tensor, constant: Tensor, n: int) -> Tensor:
        """As `hashing.multiply_shift`."""
        return self._shift(self._shift(ids * factor + constant, 33) * n, 31)
