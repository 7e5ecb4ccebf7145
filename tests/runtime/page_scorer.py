"""A scorer written from docs/format.md alone, "Without an ONNX runtime": NumPy, and nothing of pocketrec."""

from __future__ import annotations

import json
import re
import struct
import zipfile
from itertools import accumulate, pairwise

import numpy as np

u64 = np.uint64
G, C, P = u64(0x9E3779B97F4A7C15), u64(0xD1B54A32D192ED03), u64(2038074743)
DTYPES = {"I64": "<i8", "F32": "<f4", "I32": "<i4", "U32": "<u4", "F16": "<f2", "I8": "i1", "U8": "u1"}


def mix(x):
    x = (x ^ (x >> u64(30))) * u64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> u64(27))) * u64(0x94D049BB133111EB)
    return x ^ (x >> u64(31))


def within(h, n):
    return ((h >> u64(32)) * u64(n)) >> u64(32)


def key(seed, f):
    return mix(mix(np.array([seed], u64) + C) + np.array([f + 1], u64) * G)


def mixing(x, c, k):
    return mix(mix(np.asarray(x, u64) * G + k) + np.asarray(c, u64) * C)


def linear(x, c, a, b, d):
    return ((np.asarray(x, u64) % P) * u64(b) + np.asarray(c, u64) * u64(d) + u64(a)) % P


def read(path):
    """(recipe, tensors by name)."""
    with zipfile.ZipFile(path) as file:
        recipe, data = json.loads(file.read("recipe.json")), file.read("model.safetensors")
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    bytes_of = {name: slice(*(8 + length + at for at in told["data_offsets"])) for name, told in header.items()}
    return recipe, {
        name: np.frombuffer(data[bytes_of[name]], DTYPES[told["dtype"]]).reshape(told["shape"])
        for name, told in header.items()
    }


def filtered(about, bits, column, x):
    """Whether the Bloom filter holds each raw id."""
    first = mixing(x, 0, key(about["seed"], column))
    second, held = mix(first) | u64(1), np.ones(len(x), bool)
    for probe in range(about["probes"]):
        bit = within(first + u64(probe) * second, about["bits"])
        held &= (bits[bit >> u64(3)] >> (bit & u64(7)).astype(np.uint8) & 1) == 1
    return held


def translated(about, tensors, raw):
    """Raw ids (B, F) -> those of the memory."""
    if about["policy"] == "raw":
        return raw
    if about["policy"] == "filtered":
        held = [filtered(about, tensors["ids.bits"], *each) for each in zip(about["columns"], raw.T, strict=True)]
        return np.where(np.transpose(held), raw, about["unseen_id"])
    out, ends = np.zeros_like(raw), accumulate((n - 1 for n in about["rows"]), initial=1)
    for f, (first, end) in enumerate(pairwise(ends)):
        rows = tensors["ids.rows"][first:end] if about["policy"] == "ranked" else range(1, end - first + 1)
        row_of = dict(zip(tensors["ids.kept"][first:end].tolist(), rows, strict=True))
        out[:, f] = [row_of.get(x, 0) for x in raw[:, f].tolist()]
    return out


def row(layout, worth, x):
    """Ids (B,) of one feature -> (B, D)."""
    rule, _, padding, dim, _, _, base, span, chunk, align, places, sign = layout[:12].tolist()
    a, b, d, *signs = layout[12:18].view(u64)
    i, x = np.arange(dim), x[:, None]
    hashed = mixing(x, i // chunk, a)
    place = (x, within(hashed, places), linear(x, i // chunk, a, b, d) % u64(places))[rule]
    slot = base + (place.astype(np.int64) * align + i % chunk) % span
    odd = (u64(0), hashed, linear(x, i, *signs) + u64(1))[sign] & u64(1)
    return worth[slot] * np.where(odd, -1, 1) * (x != padding)


def through(layers, x, tensors):
    numbers = [n for n in range(0, 100, 2) if f"{layers}.{n}.weight" in tensors]
    for n in numbers:
        x = x @ tensors[f"{layers}.{n}.weight"].T + tensors[f"{layers}.{n}.bias"]
        x = x if (layers, n) == ("top", numbers[-1]) else np.maximum(x, 0)
    return x


def score(path, dense, raw):
    recipe, tensors = read(path)
    (owner, layout), *_ = [(name[: name.rindex(".")], t) for name, t in tensors.items() if ".layout" in name]
    (memory,) = [tensors[n] for n in tensors if re.fullmatch(re.escape(owner) + r"\.(memory|full_d\d+)", n)]
    worth = memory.reshape(-1).astype(np.float32)
    if memory.dtype == np.int8:
        worth *= tensors[f"{owner}.scales"][np.arange(len(worth)) // recipe["memory"]["scale_block"]]
    ids = translated(recipe["ids"], tensors, raw)
    bottom = through("bottom", np.log1p(np.maximum(np.nan_to_num(dense), 0)), tensors)
    vectors = [bottom, *(row(layout[f], worth, ids[:, f]) for f in range(ids.shape[1]))]
    pairs = [(vectors[i] * vectors[j]).sum(1) for i in range(len(vectors)) for j in range(i)]
    return 1 / (1 + np.exp(-through("top", np.column_stack([bottom, *pairs]), tensors)[:, 0]))
