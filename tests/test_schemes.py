"""Schemes that do more than hash an id, against their formulas: gradients, budgets, journeys, the peers' defects."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from lookups import RECOVERED, collection, materialise, pool, random_bags, tables

from pocketrec import (
    EmbeddingBag,
    EmbeddingBagCollection,
    LowRank,
    MultiHash,
    QuotientRemainder,
    Robe,
    Table,
    full_bytes,
    stored_bytes,
)
from pocketrec.sharing import SCHEMES

UNREACHABLE = {("cce", 100), ("qr", 100)}  # 2 * sqrt(n) rows
UNREACHABLE |= {("low-rank", 100), ("mixed-dimensions", 100)}  # a number a row
"""Of the tables in `test_every_scheme_keeps_its_budget`."""


def gradients(module, out, grad):
    return torch.autograd.grad(out, list(module.parameters()), grad, allow_unused=True)


@pytest.mark.parametrize("scheme", RECOVERED)
@pytest.mark.parametrize("pooling", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding", [None, 3])
def test_bags_and_their_gradients_are_those_of_the_formula(scheme, pooling, padding):
    """Sums taken before a product, padding that counts in a mean, a term's gradient lost or doubled."""
    torch.manual_seed(0)
    module = collection(scheme, tables(pooling, padding))
    values, offsets = random_bags(module, 9)
    out, expected = module((values, offsets)).flatten(1), pool(module, values, offsets)
    torch.testing.assert_close(out, expected)
    grad = torch.randn_like(out)
    for own, true in zip(gradients(module, out, grad), gradients(module, expected, grad), strict=True):
        torch.testing.assert_close(own, true)


@pytest.mark.parametrize("scheme", RECOVERED)
def test_weights_and_their_gradient_are_those_of_the_formula(scheme):
    torch.manual_seed(0)
    module = collection(scheme, tables(padding=3))
    values, offsets = random_bags(module, 9)
    weights = torch.randn(len(values), dtype=torch.float64, requires_grad=True)
    out, expected = module((values, offsets, weights)).flatten(1), pool(module, values, offsets, weights)
    torch.testing.assert_close(out, expected)
    grad = torch.randn_like(out)
    (own,), (true,) = (torch.autograd.grad(o, weights, grad, retain_graph=True) for o in (out, expected))
    torch.testing.assert_close(own, true)
    for own, true in zip(gradients(module, out, grad), gradients(module, expected, grad), strict=True):
        torch.testing.assert_close(own, true)


@pytest.mark.parametrize("scheme", RECOVERED)
@pytest.mark.parametrize("samples", [0, 1, 129])
def test_a_row_is_the_same_from_every_entry_point(scheme, samples):
    """One id a feature, bags of one, a module of torch's signature: the same row."""
    torch.manual_seed(0)
    module = collection(scheme, tables())
    ids = torch.stack([torch.randint(0, n, (samples,)) for n in (129, 1, 1)], 1)
    one = module(ids)
    bags = module((ids.T.reshape(-1), torch.arange(3 * samples + 1)))
    torch.testing.assert_close(one, bags)
    expected = torch.stack([t[ids[:, f]] for f, t in enumerate(materialise(module))], 1)
    torch.testing.assert_close(one, expected)


@pytest.mark.parametrize("scheme", RECOVERED)
def test_sharing_survives_every_journey(scheme, tmp_path):
    """`.to`, deepcopy, pickle, state_dict, the meta device: the same rows, and no more stored than before."""
    module = collection(scheme, tables())
    ids = torch.stack([torch.arange(129), *torch.zeros(2, 129, dtype=torch.int64)], 1)
    module.eval()
    expected, stored = module(ids), stored_bytes(module)
    for journey in (
        lambda m: m.to(torch.float32).to(torch.float64),
        copy.deepcopy,
        lambda m: pickle.loads(pickle.dumps(m)),
    ):
        moved = journey(copy.deepcopy(module))
        torch.testing.assert_close(moved(ids), expected, atol=1e-5, rtol=1e-5)
        assert stored_bytes(moved) == stored
    torch.save(module.state_dict(), tmp_path / "state.pt")
    for device in ("cpu", "meta"):
        other = collection(scheme, tables(), device=device)
        other = other if device == "cpu" else other.to_empty(device="cpu")
        other.reset_parameters()
        other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        assert torch.equal(other.eval()(ids), expected)


@pytest.mark.parametrize("scheme", RECOVERED)
def test_ids_outside_their_table_are_refused_by_name(scheme):
    """An id that, divided or hashed, would land inside."""
    module = collection(scheme, tables())
    with pytest.raises(ValueError, match=r"feature 'a', sample 1: id 129 is outside \[0, 129\)"):
        module(torch.tensor([[5, 0, 0], [129, 0, 0]]))
    with pytest.raises(ValueError, match=r"feature 'b2', sample 0: id -1"):
        module((torch.tensor([5, 0, -1]), torch.arange(4)))


@pytest.mark.parametrize("word", [w for w in SCHEMES if w != "full"])
@pytest.mark.parametrize("compression", [10, 100])
def test_every_scheme_keeps_its_budget_or_says_what_works(word, compression):
    """Pointers, maps, projections and sketches count; a refusal names the number that would do."""
    told = [Table("large", 20_000, 16), Table("small", 10, 16), Table("middle", 3000, 16)]
    if (word, compression) in UNREACHABLE:
        with pytest.raises(ValueError, match=r"at (least|most)"):
            EmbeddingBagCollection(told, SCHEMES[word](), compression=compression)
        return
    module = EmbeddingBagCollection(told, SCHEMES[word](), compression=compression)
    assert stored_bytes(module) <= full_bytes(module) / compression
    by_bytes = EmbeddingBagCollection(told, SCHEMES[word](), memory_bytes=int(full_bytes(module) / compression))
    assert stored_bytes(by_bytes) == stored_bytes(module)


@pytest.mark.parametrize("scheme", RECOVERED)
def test_compiles_whole(scheme):
    torch.compiler.reset()  # else the schemes together pass the limit of recompilations
    module = collection(scheme, tables()).eval()
    ids = torch.stack([torch.arange(8), *torch.zeros(2, 8, dtype=torch.int64)], 1)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(ids), module(ids))


@pytest.mark.parametrize("operation", ["concat", "add", "multiply"])
def test_quotients_are_exact_at_40_million_rows(operation):
    """facebookresearch/dlrm divides in float32: 16 % of these quotients are wrong, and the last overflows."""
    n = 40_000_000
    slots = (n // 4 + 4) * (1 if operation == "concat" else 2)
    module = EmbeddingBagCollection([Table("t", n, 2)], QuotientRemainder(operation), memory_size=slots)
    c = int(module.recovery.collisions[0])
    assert c == 4
    ids = torch.tensor([0, 5, n // 2 + 1, n - 2, n - 1])
    pieces, _ = module.recovery.translate(ids[:, None], torch.tensor([0]))
    first = n // c if operation == "add" else 0
    assert pieces.flatten(1).tolist() == [[i // 4, first + i % 4] for i in ids.tolist()]
    assert module(ids[:, None]).shape == (5, 1, 2)


def test_a_bag_of_products_is_the_sum_of_products():
    """facebookresearch/dlrm pools quotients and remainders first: right for one id, wrong for a bag."""
    bag = EmbeddingBag(1000, 8, mode="sum", sharing=QuotientRemainder("multiply"), memory_size=700)
    ids = torch.tensor([[1, 2, 900]])
    torch.testing.assert_close(bag(ids), sum(bag(ids[:, i : i + 1]) for i in range(3)))


def test_a_quotient_needs_to_know_its_table():
    with pytest.raises(ValueError, match="needs num_embeddings"):
        EmbeddingBag(None, 8, sharing=QuotientRemainder(), memory_size=100)
    with pytest.raises(ValueError, match="operation: unknown name 'mul': choose from add, concat, multiply"):
        QuotientRemainder("mul")
    with pytest.raises(ValueError, match="takes at least 4512"):  # (282 + 282) * 8
        EmbeddingBag(79_377, 8, sharing=QuotientRemainder(), memory_size=4511)
    with pytest.raises(ValueError, match="even embedding_dim, got 7"):
        EmbeddingBag(100, 7, sharing=QuotientRemainder("concat"), memory_size=500)


@pytest.mark.parametrize(
    ("sharing", "message"),
    [("robe", r"scheme_named\('robe'\)"), (QuotientRemainder, r"QuotientRemainder\(\) with parentheses"), (3, "got 3")],
)
def test_a_word_or_a_class_is_not_a_scheme(sharing, message):
    for build in (
        lambda: EmbeddingBag(10, 4, sharing=sharing, memory_size=100),
        lambda: EmbeddingBagCollection([Table("t", 10, 4)], sharing, memory_size=100),
    ):
        with pytest.raises(ValueError, match=message):
            build()


@pytest.mark.parametrize("dtype", [torch.int8, torch.int4])
@pytest.mark.parametrize("budget_bytes", range(140, 300, 10))
def test_tiny_budgets_of_integers_are_kept(dtype, budget_bytes):
    """Blocks of 64 slots with a scale: rounded up table by table they exceed what was given."""
    told = [Table("a", 1, 2), Table("b", 999, 2), Table("c", 999, 10)]
    module = EmbeddingBagCollection(told, LowRank(rows="hashed"), memory_bytes=budget_bytes, dtype=dtype)
    assert 0 < stored_bytes(module) <= budget_bytes


@pytest.mark.parametrize("sharing", [Robe(4), Robe(4, num_hashes=2), QuotientRemainder(), MultiHash()])
def test_weights_of_another_type_than_the_rows_are_refused_by_every_scheme(sharing):
    bag = EmbeddingBag(100, 8, mode="sum", sharing=sharing, memory_size=400, dtype=torch.bfloat16)
    ids = torch.tensor([[1, 2]])
    for weights in (torch.ones(1, 2), torch.ones(1, 2, dtype=torch.int64)):
        with pytest.raises(ValueError, match=r"per_sample_weights must be torch\.bfloat16 like the rows"):
            bag(ids, per_sample_weights=weights)
    assert bag(ids, per_sample_weights=torch.ones(1, 2, dtype=torch.bfloat16)).dtype == torch.bfloat16
