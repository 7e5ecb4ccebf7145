"""Rows that are sums of hashed rows: terms, HashedNets, ROBE with several hashes, multi-hash, hash embeddings."""

from __future__ import annotations

import math

import pytest
import torch
from lookups import random_bags

from pocketrec import (
    EmbeddingBag,
    EmbeddingBagCollection,
    HashedNets,
    HashEmbeddings,
    HashingTrick,
    MultiHash,
    Robe,
    Table,
    full_bytes,
    hashing,
    stored_bytes,
)
from pocketrec.sharing import PADDED
from pocketrec.sharing.terms import Terms

LARGEST = hashing.ID_LIMIT - 1
SUMS = {
    "robe-2": Robe(4, num_hashes=2),
    "robe-5-signed": Robe(3, num_hashes=5, signed=True),
    "multi-hash": MultiHash(3),
    "hash-embeddings": HashEmbeddings(4),
}


def test_hashednets_is_robe_of_one_element_with_signs():
    torch.manual_seed(0)
    own, robe = (EmbeddingBag(500, 8, sharing=s, memory_size=99) for s in (HashedNets(), Robe(1, signed=True)))
    robe.load_state_dict(own.state_dict())
    ids = torch.arange(500)[:, None]
    assert torch.equal(own(ids), robe(ids))


def test_one_hash_is_robe_as_it_was():
    """Memories trained before there were several must still load."""
    one = EmbeddingBag(500, 8, sharing=Robe(4, num_hashes=1), memory_size=99)
    assert one.recovery is None
    assert torch.equal(one.layout, EmbeddingBag(500, 8, sharing=Robe(4), memory_size=99).layout)


def test_terms_are_frozen():
    """Golden: another step moves every row of every memory that was ever trained."""
    steps = [0, 2850178704830799621, 1088671391234211338, 3938850096065010959]
    assert Terms(4, [False]).steps.tolist() == steps
    ids = torch.tensor([0, 1, LARGEST])
    pieces, factors = Terms(2, [False]).translate(ids, torch.tensor([0]))
    assert pieces.tolist() == [[[0, steps[1]]], [[1, steps[1] ^ 1]], [[LARGEST, LARGEST ^ steps[1]]]]
    assert factors is None


def test_no_two_terms_of_a_large_table_have_the_same_id():
    """Ids x and y do where x ^ y is the xor of two steps: below those, it never is."""
    steps = Terms(16, [False]).steps.tolist()
    assert min(a ^ b for i, a in enumerate(steps) for b in steps[:i]) >= 1 << 56
    assert max(steps) < hashing.ID_LIMIT


def test_tables_kept_exactly_read_one_term():
    pieces, _ = Terms(3, [True, False]).translate(torch.tensor([[7, 7]]), torch.tensor([0, 1]))
    assert pieces[0, 0, 0].tolist() == [7, PADDED, PADDED]
    assert PADDED not in pieces[0, 1]


@pytest.mark.parametrize("scheme", SUMS)
def test_open_ended_tables_take_any_id(scheme):
    """A term beyond 2^62, or raw ids that differ in high bits only and read the same rows."""
    bag = EmbeddingBag(None, 8, mode="sum", sharing=SUMS[scheme], memory_size=4000)
    ids = torch.tensor([0, 1, 1 << 40, 1 << 58, 1 << 61, (1 << 61) + 1, LARGEST])
    rows = bag(ids[:, None])
    assert len(rows.unique(dim=0)) == len(ids)
    with pytest.raises(ValueError, match=r"is outside \[0, 2\^62\)"):
        bag(torch.tensor([[1 << 62]]))


@pytest.mark.parametrize(
    ("scheme", "least"), [(MultiHash(2), 4000), (MultiHash(2, "concat"), 4500), (MultiHash(4), 4900)]
)
def test_hashes_are_independent(scheme, least):
    """Ids that meet under one hash and so meet under all: 200 rows for 5000 ids, as the hashing trick has.

    Pairs of 200 rows are 20,000 in a sum and 40,000 side by side; of those, 5000 ids should hit nearly as many.
    """
    bag = EmbeddingBag(5000, 8, mode="sum", sharing=scheme, memory_size=200 * 8)
    trick = EmbeddingBag(5000, 8, mode="sum", sharing=HashingTrick(), memory_size=200 * 8)
    ids = torch.arange(5000)[:, None]
    assert len(trick(ids).unique(dim=0)) <= 200
    assert len(bag(ids).unique(dim=0)) > least


@pytest.mark.parametrize("scheme", SUMS)
@pytest.mark.parametrize("init", [None, 0.3])
def test_sums_start_as_widely_spread_as_single_rows(scheme, init):
    """A sum of k rows is spread k times as widely unless its terms start smaller; an exact row is no sum."""
    torch.manual_seed(0)
    tables = [Table("long", 50_000, 16), Table("short", 300, 16)]
    module = EmbeddingBagCollection(tables, SUMS[scheme], memory_size=40_000, init=init)
    ids = torch.stack([torch.randint(0, 50_000, (3000,)), torch.randint(0, 300, (3000,))], 1)
    bound = 0.01 if init is None else init
    for rows in module(ids).unbind(1):
        assert rows.mean().abs() < 0.05 * bound
        assert rows.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.06)


@pytest.mark.parametrize("scheme", [MultiHash(3), MultiHash(2, "concat"), HashEmbeddings()])
def test_small_tables_are_kept_exactly(scheme):
    """Each of their rows trains alone: its gradient is its own D slots, once each."""
    module = EmbeddingBagCollection([Table("long", 9000, 8), Table("short", 20, 8)], scheme, memory_size=1000)
    rows = module(torch.stack([torch.full((20,), 5), torch.arange(20)], 1))[:, 1]
    grads = [torch.autograd.grad(row.sum(), module.memory, retain_graph=True)[0] for row in rows]
    assert [grad.tolist().count(1.0) for grad in grads] == [8] * 20
    assert torch.stack(grads).sum(0).max() == 1


@pytest.mark.parametrize("scheme", [MultiHash(), MultiHash(2, "concat"), HashEmbeddings()])
def test_a_budget_for_everything_keeps_everything(scheme):
    """No weights, no row summed: the table itself."""
    bag = EmbeddingBag(30, 8, mode="sum", sharing=scheme, compression=1)
    assert stored_bytes(bag) == full_bytes(bag)
    assert torch.equal(bag(torch.arange(30)[:, None]).flatten().sort().values, bag.memory.sort().values)


@pytest.mark.parametrize(("compression", "rows"), [(100, 2000), (2, 50_000)])
def test_importance_weights_take_their_part_and_no_more(compression, rows):
    """A quarter of the budget, rows of k; never more rows than ids, and what is left goes to the pool."""
    bag = EmbeddingBag(50_000, 32, mode="sum", sharing=HashEmbeddings(), compression=compression)
    assert bag.recovery.importance.shape == (rows, 2)
    budget = 50_000 * 32 // compression
    assert budget - 32 < bag.memory.numel() + bag.recovery.importance.numel() <= budget
    assert stored_bytes(bag) <= full_bytes(bag) / compression


def test_ids_with_weights_of_their_own_train_them_alone():
    """Two tables' weights must not overlap, nor miss a row."""
    tables = [Table("a", 500, 32), Table("b", 400, 32)]
    module = EmbeddingBagCollection(tables, HashEmbeddings(), compression=2)
    assert module.recovery.importance.shape == (900, 2)
    ids = torch.stack([torch.arange(400), torch.arange(400)], 1)
    (grad,) = torch.autograd.grad(module(ids).pow(2).sum(), module.recovery.importance)
    assert (grad != 0).all(1).tolist() == [True] * 400 + [False] * 100 + [True] * 400


def test_hashed_weights_are_spread_over_all_rows():
    """A bucket hash that leaves rows empty, or crowds them."""
    bag = EmbeddingBag(40_000, 16, mode="sum", sharing=HashEmbeddings(importance=0.1), compression=10)
    n = len(bag.recovery.importance)
    rows = bag.recovery._rows(torch.arange(40_000), torch.tensor([0]))
    counts = torch.bincount(rows, minlength=n)
    assert len(counts) == n == 3200
    assert counts.min() > 0
    assert counts.max() < 40


@pytest.mark.parametrize("dtype", [torch.int8, torch.float16, torch.float64])
def test_weights_count_whatever_the_memory_holds(dtype):
    """An int8 memory keeps its weights in float32."""
    tables = [Table("large", 20_000, 16), Table("small", 10, 16)]
    module = EmbeddingBagCollection(tables, HashEmbeddings(), memory_size=9000, dtype=dtype)
    slot = 1 + 4 / 64 if dtype == torch.int8 else dtype.itemsize
    assert 0.95 * 9000 * slot < stored_bytes(module) <= 9000 * slot
    assert module(torch.zeros(2, 2, dtype=torch.int64)).shape == (2, 2, 16)


def test_bad_arguments_say_what_works():
    for call, message in (
        (lambda: Robe(num_hashes=0), "num_hashes must be"),
        (lambda: Robe(hash="linear", num_hashes=2), "num_hashes=2 takes hash='mixing', got 'linear'"),
        (lambda: Robe(hash="authors", num_hashes=2), "num_hashes=2 takes hash='mixing', got 'authors'"),
        (lambda: MultiHash(1), "num_hashes must be"),
        (lambda: MultiHash(operation="add"), "operation: unknown name 'add'"),
        (lambda: HashEmbeddings(1), "num_hashes must be"),
        (lambda: HashEmbeddings(importance=1.0), r"importance must be a number in \(0, 1\), got 1.0"),
        (lambda: HashEmbeddings(importance="x"), "importance must be a number"),
        (lambda: EmbeddingBag(99, 3, sharing=MultiHash(4, "concat"), memory_size=50), "embedding_dim of at least num_"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize(("scheme", "least"), [(Robe(4, num_hashes=2), 4), (MultiHash(), 8), (HashEmbeddings(), 10)])
def test_the_least_budget_works_and_one_slot_less_is_refused(scheme, least):
    bag = EmbeddingBag(1000, 8, mode="sum", sharing=scheme, memory_size=least)
    assert bag(torch.arange(1000)[:, None]).isfinite().all()
    assert stored_bytes(bag) <= 4 * least
    with pytest.raises(ValueError, match=f"at least {least}"):
        EmbeddingBag(1000, 8, sharing=scheme, memory_size=least - 1)


@pytest.mark.parametrize("scheme", [MultiHash(2, "concat"), MultiHash(3), HashEmbeddings()])
def test_bags_come_in_the_same_order_compiled(scheme):
    """Pieces are put side by side by two ways, one that waits for nothing: another's piece, weight or gradient."""
    torch.manual_seed(0)
    tables = [Table("a", 129, 6), Table("b", 40, 6, ("b1", "b2"), padding_idx=1)]
    module = EmbeddingBagCollection(tables, scheme, memory_size=300, dtype=torch.float64)
    values, offsets = random_bags(module, 9)
    weights = torch.rand(len(values), dtype=torch.float64, requires_grad=True)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    inputs = [*module.parameters(), weights]
    out, other = module((values, offsets, weights)), compiled((values, offsets, weights))
    torch.testing.assert_close(other, out)
    for own, theirs in zip(*(torch.autograd.grad(o.pow(2).sum(), inputs) for o in (out, other)), strict=True):
        torch.testing.assert_close(theirs, own)
