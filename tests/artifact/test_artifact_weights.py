"""model.safetensors: sizes, places and numbers that are not as they say."""

from __future__ import annotations

import json
from typing import Any

import made
import numpy as np
import pytest
from sealing import parts, refused, sealed

from pocketrec.artifact.archive import TENSORS
from pocketrec.artifact.tensors import pieces


def with_header(header: dict[str, Any] | bytes, data: int = 64, claimed: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    entry = (len(text) if claimed is None else claimed).to_bytes(8, "little") + text + bytes(data)
    return made.packed(sealed(parts() | {TENSORS: entry}))


def tensor(dtype: Any = "F32", shape: Any = (16,), offsets: Any = (0, 64)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (with_header({}, claimed=1 << 62), "its header has 4611686018427387904 bytes"),
        (with_header({}, claimed=(1 << 64) - 1), "bytes, and it has"),
        (with_header(b"{", claimed=1), "no multiple of 64"),
        (with_header(b"not json"), "not JSON"),
        (with_header({"a": tensor(shape=[1 << 39], offsets=[0, 1 << 41])}), "data_offsets"),
        (with_header({"a": tensor(shape=[1 << 39], offsets=[0, 64])}), "takes other than the 64 bytes"),
        (with_header({"a": tensor(shape=[1 << 39] * 8, offsets=[0, 64])}), "takes other than"),
        (with_header({"a": tensor(shape=[1] * 9, offsets=[0, 4])}, 4), "at most 8 sizes"),
        (with_header({"a": tensor(shape=[-16], offsets=[0, 64])}), "shape [-16]"),
        (with_header({"a": tensor(shape=[16], offsets=[64, 128])}), "begins at byte 192"),
        (with_header({"a": tensor(shape=[16], offsets=[0, 64])}, 128), "its tensors end at"),
        (with_header({"a": tensor(shape=[32], offsets=[0, 128])}), "its tensors end at"),
        (with_header({"a": tensor(), "b": tensor()}), "tensor b begins at byte"),
        (with_header({"a": tensor(), "b": tensor(offsets=[32, 96])}, 96), "those before it end at"),
        (
            with_header({"a": tensor("U8", [1], [0, 1]), "b": tensor("F32", [1], [1, 5])}, 5),
            "no multiple of its items'",
        ),
        (with_header({"a": tensor("F99")}), "dtype 'F99'"),
        (with_header({"a": tensor("BF16", [32])}), "dtype 'BF16'"),
        (with_header({"a": tensor() | {"file": "/etc/passwd"}}), "dtype, shape and data_offsets alone"),
        (with_header({"../a": tensor()}), "called '../a'"),
        (with_header({"/etc/passwd": tensor()}), "called '/etc/passwd'"),
        (with_header({"a..b": tensor()}), "called 'a..b'"),
    ],
)
def test_weights_that_are_not_as_they_say(contents, said):
    assert said in refused(contents)


@pytest.mark.parametrize(
    ("name", "bad"), [("memory", np.nan), ("memory", np.inf), ("memory", -np.inf), ("half", np.nan), ("half", -np.inf)]
)
@pytest.mark.parametrize("at", [0, -1])
def test_weights_that_are_no_numbers(name, bad, at):
    tensors = made.tensors()
    tensors[name].flat[at] = bad
    entry = b"".join(pieces(tensors))
    assert f"tensor {name} holds NaN or infinity" in refused(made.packed(sealed(parts() | {TENSORS: entry})))
