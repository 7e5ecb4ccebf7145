"""Every scheme and every memory as an ONNX graph. Several in one graph: an export takes seconds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from exported import Several, assert_plain, coded, embeddings, heated, random_ids, session_of
from torch import nn

from pocketrec import quantize_
from pocketrec.export.graph import graph_of
from pocketrec.export.tracing import called

CODED = {"transform-coding": {}, "transform-coding of one table": {"kept": "a", "memory_bytes": 600}}
SCHEMES = (
    "robe",
    "robe-linear-signed",
    "robe-2-hashes",
    "hashing-trick",
    "full",
    "hash-embeddings",
    "qr-multiply",
    "cce",
    "hot-cold",
    "low-rank-hashed",
    "tt",
    "dhe-mish",
    *CODED,
)
"""One of each kind; test_plain_lookup.py has them all."""
MEMORIES = {
    "robe int8": ("robe", torch.int8),
    "robe int4": ("robe-ragged", torch.int4),
    "hashing-trick int4": ("hashing-trick", torch.int4),
    "low-rank float16": ("low-rank-hashed", torch.float16),
    "robe bfloat16": ("robe", torch.bfloat16),
    "full float64": ("full", torch.float64),
}


def exported(modules: dict[str, nn.Module]):
    """(the modules, the session, the graph)."""
    several = Several(modules)
    graph = graph_of(called(several, [random_ids(3)]), several)
    return modules, session_of(graph), graph


@pytest.fixture(scope="module")
def schemes():
    return exported({name: coded(**CODED[name]) if name in CODED else heated(embeddings(name)) for name in SCHEMES})


@pytest.fixture(scope="module")
def memories():
    made = {name: embeddings(scheme, dtype=dtype) for name, (scheme, dtype) in MEMORIES.items()}
    quantize_(made["hashing-trick int4"])  # the others are as they are exported
    return exported(made)


def difference(of, name: str, samples: int) -> float:
    """Between a module, in the precision that graphs compute in, and its part of the graph."""
    modules, session, _ = of
    module = modules[name]
    if module.bits is not None and module.scales is None:
        module = quantize_(module)
    if module.scales is None:
        module = module.float()
    ids = random_ids(samples)
    with torch.no_grad():
        expected = module(ids).flatten(1).numpy()
    got = session.run(None, {"ids": ids.numpy()})[0][:, list(modules).index(name)]
    return float(np.abs(got - expected).max())


@pytest.mark.parametrize("samples", [1, 5, 129])
@pytest.mark.parametrize("name", SCHEMES)
def test_a_scheme_in_a_graph(schemes, name, samples):
    """A hash with one bit wrong, a batch size that was taken for fixed."""
    assert difference(schemes, name, samples) <= 1e-5


@pytest.mark.parametrize("name", MEMORIES)
def test_a_memory_in_a_graph(memories, name):
    assert difference(memories, name, 129) <= 1e-5


def test_nothing_but_plain_operators(schemes, memories):
    for _, _, graph in (schemes, memories):
        assert_plain(graph.proto)


def test_weights_are_stored_as_they_are(memories):
    """Halves made float32, integers made whole numbers of four bytes: an artifact twice or eight times too large."""
    modules, _, graph = memories
    stored = {}
    for number, name in enumerate(modules):
        found = [str(t.dtype) for key, t in graph.tensors.items() if key.startswith(f"parts.{number}.memory")]
        stored[name] = found[0] if found else None
    assert stored["robe int8"] == "int8"
    assert stored["robe int4"] == stored["hashing-trick int4"] == "uint8"
    assert stored["low-rank float16"] == "float16"
    assert stored["robe bfloat16"] == "bfloat16"
    held = [initializer for initializer in graph.proto.graph.initializer if initializer.raw_data]
    assert max(len(initializer.raw_data) for initializer in held) <= 1024
