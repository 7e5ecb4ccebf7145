"""Lookups in plain arithmetic, against the ops they stand for: every scheme, bags, integers; without any exporter."""

from __future__ import annotations

import copy

import pytest
import torch
from exported import coded, embeddings, heated, random_ids
from lookups import ALL

from pocketrec import EmbeddingBag, Robe, hashing, quantize_
from pocketrec.errors import UsageError
from pocketrec.export.bags import PaddedBags
from pocketrec.export.dialects import Hash, Torch
from pocketrec.export.plain import plain
from pocketrec.export.tracing import pack_


def both(module, argument, as_called=None):
    with torch.no_grad():
        expected = module(argument if as_called is None else as_called)
        with plain(Torch()):
            return module(argument), expected


@pytest.mark.parametrize("scheme", ALL)
def test_rows_are_those_of_the_op(scheme):
    """A hash, a wrap, a sign or a row of one's own gone wrong."""
    module = heated(embeddings(scheme))
    torch.testing.assert_close(*both(module, random_ids(129)))


@pytest.mark.parametrize(
    "made",
    [
        {},
        {"kept": "a", "memory_bytes": 600},
        {"kept": "c", "memory_bytes": 600},
        {"kept": "a", "memory_bytes": 600, "dims": (12, 12, 5)},
    ],
)
def test_coded_rows_are_those_of_the_module(made):
    """Tables of which a small budget stores nothing, the first, the last, or all of a width, reading others' codes."""
    torch.testing.assert_close(*both(coded(**made), random_ids(129)))


@pytest.mark.parametrize("pooling", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding", [None, 3])
@pytest.mark.parametrize("scheme", ["robe", "full", "hash-embeddings", "qr-multiply", "cce", "low-rank"])
def test_padded_bags_are_bags(scheme, pooling, padding):
    """Padding or masked ids that count, empty bags that are not zeros, weights of the wrong id."""
    module = embeddings(scheme, pooling=pooling, padding=padding)
    ids = random_ids(40, 5)
    weights = torch.randn(ids.shape) if pooling == "sum" else None
    mask = torch.rand(ids.shape) < 0.6
    mask[:3] = False
    bags = PaddedBags(torch.where(mask, ids, 1 << 61), mask, weights)
    jagged = tuple(t for t in bags.jagged() if t is not None)
    torch.testing.assert_close(*both(module, bags, jagged))


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize(
    "scheme", ["robe", "robe-ragged", "robe-aligned", "hashing-trick", "hot-cold", "low-rank-hashed"]
)
def test_integers_are_read_as_they_are_stored(scheme, bits):
    """A scale of the neighbouring block, the wrong half of a byte, a sign lost."""
    module = quantize_(heated(embeddings(scheme)), bits)
    packed = copy.deepcopy(module)
    pack_(packed)
    assert packed.memory.dtype == (torch.uint8 if bits == 4 else torch.int8)
    ids = random_ids(129)
    with torch.no_grad(), plain(Torch()):
        got = packed(ids)
    assert torch.equal(got, module(ids))


@pytest.mark.parametrize("width", [1, 5, 16])
def test_2d_ids_of_an_embedding_bag(width):
    for mode in ("sum", "mean", "max"):
        bag = EmbeddingBag(1000, width, mode=mode, padding_idx=2, sharing=Robe(4), memory_size=300)
        torch.testing.assert_close(*both(bag, torch.randint(0, 1000, (9, 4))))


def test_bags_of_offsets_are_refused_by_name():
    module = embeddings("robe")
    bags = PaddedBags(random_ids(4, 2), torch.ones(4, 4, 2, dtype=torch.bool))
    with plain(Torch()), pytest.raises(UsageError, match=r"bags with offsets.*PaddedBags"):
        module(bags.jagged()[:2])


def test_the_hash_is_hash_v1_bit_for_bit():
    own = Hash(Torch())
    edges = torch.tensor([0, 1, -1, (1 << 62) - 1, -(1 << 63), (1 << 63) - 1])
    x = torch.cat([edges, torch.randint(-(1 << 63), (1 << 63) - 1, (10_000,))])
    assert torch.equal(own.mix64(x), hashing.mix64(x))
    assert torch.equal(own.scale(x, (1 << 31) - 1), hashing.scale(x, (1 << 31) - 1))
    factor, constant = torch.tensor(hashing.ID_STEP), torch.tensor(-5)
    assert torch.equal(own.multiply_shift(x, factor, constant, 77), hashing.multiply_shift(x, factor, constant, 77))


def test_nothing_stays_changed():
    """A model that is trained after an export trains with its kernels."""
    before = (hashing.mix64, embeddings("robe").lookup.__func__)
    with pytest.raises(ZeroDivisionError), plain(Torch()):
        _ = 1 / 0
    assert (hashing.mix64, embeddings("robe").lookup.__func__) == before
