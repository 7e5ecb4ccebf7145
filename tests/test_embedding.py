"""Embeddings: torch's semantics over a shared memory, one owner, and the ways a module travels."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
from hypothesis import given, settings, strategies as st
from lookups import ALL, COLUMNS, budget, collection, materialise, pool, random_bags
from torch import nn

from pocketrec import (
    Embedding,
    EmbeddingBag,
    EmbeddingBagCollection,
    Full,
    HashingTrick,
    Robe,
    Table,
    full_bytes,
    stored_bytes,
)
from pocketrec.sharing import Budget


def virtual_table(module) -> torch.Tensor:
    return materialise(module)[0].detach()


@pytest.mark.parametrize("scheme", ALL)
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding_idx", [None, 3, -1])
def test_bag_means_what_torch_means(scheme, mode, padding_idx):
    """nn.EmbeddingBag over the materialised table is the oracle: 1-D with offsets, with the last offset, and 2-D."""
    given = budget(scheme, 101)
    options = {"mode": mode, "padding_idx": padding_idx, "dtype": torch.float64}
    ours = EmbeddingBag(40, 6, **options, sharing=ALL[scheme], **given)
    torchs = nn.EmbeddingBag(40, 6, _weight=virtual_table(ours), **options)
    ids, offsets = torch.tensor([3, 3, 39, 0, 7, 7, 7]), torch.tensor([0, 2, 2, 5])
    torch.testing.assert_close(ours(ids, offsets), torchs(ids, offsets))
    torch.testing.assert_close(ours(ids[:6].view(2, 3)), torchs(ids[:6].view(2, 3)))
    torch.testing.assert_close(ours(ids.int(), offsets.int()), torchs(ids, offsets))
    ours.include_last_offset = torchs.include_last_offset = True
    closed = torch.tensor([0, 2, 7])
    torch.testing.assert_close(ours(ids, closed), torchs(ids, closed))


@pytest.mark.parametrize("scheme", ALL)
def test_weighted_bag_means_what_torch_means(scheme):
    given = budget(scheme, 101)
    ours = EmbeddingBag(40, 6, mode="sum", dtype=torch.float64, sharing=ALL[scheme], **given)
    torchs = nn.EmbeddingBag(40, 6, mode="sum", _weight=virtual_table(ours), dtype=torch.float64)
    ids, weights = torch.randint(0, 40, (5, 3)), torch.randn(5, 3, dtype=torch.float64)
    torch.testing.assert_close(ours(ids, per_sample_weights=weights), torchs(ids, per_sample_weights=weights))


@pytest.mark.parametrize("scheme", ALL)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (129,), (2, 3, 4)])
def test_embedding_reads_rows_in_any_shape(scheme, shape):
    given = budget(scheme, 101)
    ours = Embedding(40, 6, padding_idx=2, dtype=torch.float64, sharing=ALL[scheme], **given)
    ids = torch.randint(0, 40, shape)
    expected = virtual_table(ours)[ids] * (ids != 2)[..., None]
    torch.testing.assert_close(ours(ids), expected)


@given(
    samples=st.integers(0, 9),
    dims=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    scheme=st.sampled_from([s for s in ALL if s not in ("full", *COLUMNS)]),
    pooling=st.sampled_from(["sum", "mean", "max"]),
    seed=st.integers(0, 2**62 - 1),
)
@settings(max_examples=60, deadline=None)
def test_collections_of_any_shape_equal_the_oracle(samples, dims, scheme, pooling, seed):
    torch.manual_seed(samples)
    tables = [Table(f"t{i}", 10 * i + 1, d, pooling=pooling) for i, d in enumerate(dims)]
    module = collection(scheme, tables, memory_size=37, seed=seed)
    values, offsets = random_bags(module, samples)
    out = module((values, offsets))
    torch.testing.assert_close(
        out.reshape(samples, sum(dims)), pool(module, values, offsets).reshape(samples, sum(dims))
    )


@pytest.mark.parametrize("scheme", ["robe", "full", "hashing-trick"])
def test_tables_of_different_widths_come_back_side_by_side(scheme):
    """Full keeps one parameter a width; the columns must still come in the order of the features."""
    tables = [Table("a", 20, 4), Table("b", 30, 8, ("b1", "b2")), Table("c", 5, 4)]
    module = collection(scheme, tables)
    ids = torch.stack([torch.randint(0, n, (7,)) for n in (20, 30, 30, 5)], 1)
    out = module(ids)
    assert out.shape == (7, 24)
    assert module.embedding_dim is None
    assert torch.equal(out[:, 4:12][ids[:, 1] == ids[:, 2]], out[:, 12:20][ids[:, 1] == ids[:, 2]])
    bags = module((ids.T.reshape(-1), torch.arange(4 * 7 + 1)))
    assert torch.equal(out, bags)
    weighted = module((ids.T.reshape(-1), torch.arange(4 * 7 + 1), torch.full((28,), 2.0, dtype=torch.float64)))
    torch.testing.assert_close(weighted, 2 * out)
    for number, table in enumerate(("a", "b", "b", "c")):
        alone = out[:, [0, 4, 12, 20][number] :][:, : 4 if table != "b" else 8]
        same = ids[:, number] == ids[0, number]
        assert torch.equal(alone[same], alone[:1].expand(int(same.sum()), -1)), "one id, one row"


def test_open_ended_tables_take_any_id():
    module = EmbeddingBagCollection([Table("user", None, 8), Table("item", None, 8)], memory_size=1000)
    ids = torch.tensor([[0, 2**62 - 1], [2**40, 1]])
    assert module(ids).shape == (2, 2, 8)
    assert full_bytes(module) is None
    with pytest.raises(ValueError, match=r"feature 'item', sample 0: id -1 is outside \[0, 2\^62\)"):
        module(torch.tensor([[0, -1]]))


def test_the_memory_is_one_parameter_and_sharing_survives_every_journey(tmp_path):
    """The authors' module comes back from `.to(dtype)` as 26 separate copies; ours has one memory to lose."""
    model = nn.Sequential(EmbeddingBagCollection([Table(f"t{i}", 1000, 8) for i in range(26)], memory_size=500))
    ids = torch.randint(0, 1000, (4, 26))
    expected = model(ids)
    for journey in (
        lambda m: m.to(torch.float64).to(torch.float32),
        lambda m: m.to("cpu"),
        copy.deepcopy,
        lambda m: pickle.loads(pickle.dumps(m)),
    ):
        moved = journey(copy.deepcopy(model))
        assert [p.shape for p in moved.parameters()] == [(500,)]
        assert torch.equal(moved(ids), expected)
    torch.save(model.state_dict(), tmp_path / "state.pt")
    other = nn.Sequential(EmbeddingBagCollection([Table(f"t{i}", 1000, 8) for i in range(26)], memory_size=500))
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(other(ids), expected)


@pytest.mark.parametrize("change", [{"seed": 1}, {"sharing": Robe(chunk_size=4)}, {"memory_size": 400}])
def test_weights_made_with_another_recipe_are_refused(change):
    tables = [Table("t", 1000, 8)]
    base = {"sharing": Robe(chunk_size=8), "memory_size": 500, "seed": 0}
    state = EmbeddingBagCollection(tables, **base).state_dict()
    with pytest.raises(RuntimeError, match="another sharing scheme"):
        EmbeddingBagCollection(tables, **(base | change)).load_state_dict(state)


def test_seed_moves_rows_but_torch_draws_the_values():
    def build(seed):
        torch.manual_seed(5)
        return EmbeddingBag(1000, 8, memory_size=500, seed=seed)

    ids = torch.arange(100).view(-1, 1)
    assert torch.equal(build(0).memory, build(1).memory)
    assert not torch.equal(build(0)(ids), build(1)(ids))


def test_budgets_are_kept():
    tables = [Table("large", 100_000, 16), Table("small", 10, 16)]
    full = (100_000 + 10) * 16 * 4
    for sharing in (Robe(), HashingTrick()):
        module = EmbeddingBagCollection(tables, sharing, compression=100)
        assert full_bytes(module) == full
        assert 0.99 * full / 100 < stored_bytes(module) <= full / 100
    assert stored_bytes(EmbeddingBagCollection(tables, Full())) == full


def test_hashing_trick_keeps_small_tables_exact_and_shares_the_rest_equally():
    tables = [Table("large", 10_000, 4), Table("small", 10, 4), Table("larger", 20_000, 4)]
    placed = HashingTrick().place(tables, Budget(1000), 0)
    assert [piece.places for (piece,) in placed.pieces] == [120, 10, 120]
    assert placed.slots == 1000
    module = EmbeddingBagCollection([tables[1]], HashingTrick(), memory_size=40)
    assert len(torch.unique(module(torch.arange(10)[:, None]), dim=0)) == 10, "a table that fits has no collisions"


@given(
    sizes=st.lists(st.tuples(st.one_of(st.none(), st.integers(1, 2000)), st.integers(1, 64)), min_size=1, max_size=5),
    extra=st.integers(0, 3000),
)
@settings(max_examples=100, deadline=None)
def test_hashing_trick_never_exceeds_its_budget(sizes, extra):
    tables = [Table(f"t{i}", n, d) for i, (n, d) in enumerate(sizes)]
    budget = sum(d for _, d in sizes) + extra
    placed = HashingTrick().place(tables, Budget(budget), 0)
    assert placed.slots <= budget
    assert all(piece.places >= 1 for (piece,) in placed.pieces)


def test_compression_counts_bytes_in_any_precision():
    single, half = (EmbeddingBag(10_000, 16, compression=10, dtype=d) for d in (torch.float32, torch.float16))
    assert stored_bytes(half) == stored_bytes(single) == 10_000 * 16 * 4 // 10
    assert half.memory.numel() == 2 * single.memory.numel()


def test_a_tied_memory_is_counted_once():
    first, second = (EmbeddingBag(1000, 8, memory_size=50) for _ in range(2))
    second.memory = first.memory
    assert stored_bytes(nn.ModuleList([first, second])) == 200


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_half_precision_sums_in_float32_and_rounds_once(dtype, mode):
    """A running sum in bfloat16 stops growing at 256."""
    bag = EmbeddingBag(10, 4, mode=mode, memory_size=4, dtype=dtype, sharing=Robe(4, align=4))
    with torch.no_grad():
        bag.memory.fill_(1.0)
    out = bag(torch.ones(1, 3000, dtype=torch.int64))
    assert out.dtype == dtype
    assert torch.equal(out, torch.full((1, 4), 1.0 if mode == "mean" else 3000.0).to(dtype))
    bag(torch.ones(3000, 1, dtype=torch.int64)).sum().backward()
    assert torch.equal(bag.memory.grad, torch.full((4,), 3000.0).to(dtype))


@pytest.mark.parametrize("sharing", ["robe", "full"])
def test_a_module_born_on_meta_is_made_whole(sharing):
    tables = [Table("a", 20, 4), Table("b", 30, 4)]
    torch.manual_seed(0)
    whole = collection(sharing, tables)
    torch.manual_seed(0)
    born = collection(sharing, tables, device="meta").to_empty(device="cpu")
    born.reset_parameters()
    ids = torch.tensor([[1, 29], [19, 0]])
    assert torch.equal(born(ids), whole(ids))
    assigned = collection(sharing, tables, device="meta")
    assigned.load_state_dict(whole.state_dict(), assign=True)
    assert torch.equal(assigned(ids), whole(ids))


def test_weights_need_not_be_contiguous():
    bag = EmbeddingBag(100, 4, mode="sum", memory_size=50)
    ids, weights = torch.randint(0, 100, (6, 3)), torch.rand(3, 6).T
    assert torch.equal(bag(ids, per_sample_weights=weights), bag(ids, per_sample_weights=weights.contiguous()))


MIXED_WIDTHS = {
    "ids of one feature too few": (lambda m: m(torch.zeros(2, 1, dtype=torch.int64)), r"shape \(B, 2\)"),
    "1-D ids": (lambda m: m(torch.zeros(2, dtype=torch.int64)), r"shape \(B, 2\)"),
    "offsets of another F": (lambda m: m((torch.zeros(3, dtype=torch.int64), torch.tensor([0, 1, 2, 3]))), "F=2"),
    "offsets end early": (lambda m: m((torch.zeros(9, dtype=torch.int64), torch.tensor([0, 1, 2]))), "got 0 to 2"),
    "no offsets": (lambda m: m((torch.zeros(0, dtype=torch.int64), torch.tensor([], dtype=torch.int64))), "F=2"),
    "weights too short": (
        lambda m: m((torch.zeros(2, dtype=torch.int64), torch.tensor([0, 1, 2]), torch.ones(1, dtype=torch.float64))),
        "shape of the ids",
    ),
}


@pytest.mark.parametrize("case", MIXED_WIDTHS)
def test_full_tables_of_several_widths_check_before_they_split(case):
    call, message = MIXED_WIDTHS[case]
    module = collection("full", [Table("a", 5, 4), Table("b", 5, 8)])
    with pytest.raises(ValueError, match=message):
        call(module)


def test_aligned_chunks_start_on_multiples():
    module = EmbeddingBag(500, 16, mode="sum", memory_size=100, sharing=Robe(8, align=8), dtype=torch.float64)
    module.memory.data = torch.arange(100.0, dtype=torch.float64)
    firsts = module(torch.arange(500)[:, None])[:, ::8]
    assert set(firsts.reshape(-1).tolist()) == set(range(0, 96, 8))


def test_initial_values():
    tables = [Table("a", 10_000, 16), Table("b", 100, 16)]
    for init, bound in ((None, 0.01), (0.3, 0.3), ("largest-table", 0.01), ("width", 0.25)):
        memory = EmbeddingBagCollection(tables, memory_size=50_000, init=init).memory
        assert 0.99 * bound < memory.abs().max() <= bound
    (full,) = EmbeddingBagCollection(tables, Full(), init="largest-table").parameters()
    assert full[:10_000].abs().max() <= 0.01 < full[10_000:].abs().max() <= math.sqrt(1 / 100)


def test_full_starts_from_torchs_weight():
    weight = torch.randn(10, 4)
    bag = EmbeddingBag(10, 4, mode="sum", sparse=True, _weight=weight, sharing=Full())
    assert torch.equal(bag(torch.arange(10)[:, None]), weight)


ROBE = {"sharing": Robe(), "compression": 10}
REFUSED = {
    "no budget": (lambda: EmbeddingBag(100, 16), "one of memory_size .*, memory_bytes and compression"),
    "two budgets": (lambda: EmbeddingBag(100, 16, compression=2, memory_size=9), "one of memory_size"),
    "budget for full": (lambda: EmbeddingBag(100, 16, sharing=Full(), compression=2), "full tables take no"),
    "compression below 1": (lambda: EmbeddingBag(100, 16, compression=0.1), r"in \[1, inf\), got 0.1"),
    "compression nan": (lambda: EmbeddingBag(100, 16, compression=math.nan), r"in \[1, inf\)"),
    "too much compression": (lambda: EmbeddingBag(100, 16, compression=1000), "one chunk of 16 slots"),
    "trick too small": (
        lambda: EmbeddingBag(100, 16, compression=1000, sharing=HashingTrick()),
        "one row for each of 1 tables",
    ),
    "too many slots": (lambda: EmbeddingBag(100, 16, memory_size=2**31, device="meta"), r"fewer than 2\^31"),
    "no rows": (lambda: EmbeddingBag(0, 16, memory_size=99), "num_embeddings must be at least 1, got 0"),
    "float rows": (lambda: EmbeddingBag(1e6, 16, memory_size=99), "num_embeddings must be a whole number"),
    "float slots": (lambda: EmbeddingBag(100, 16, memory_size=99.5), "memory_size must be a whole number"),
    "text budget": (
        lambda: EmbeddingBag(100, 16, compression="10"),
        "compression, full size / shared size, must be a number",
    ),
    "text for features": (lambda: Table("t", 10, 2, "user_id"), "features is a tuple of names"),
    "line break in a name": (lambda: Table("a\nb", 10, 2), "holds no line break"),
    "float chunk": (lambda: Robe(chunk_size=2.5), "chunk_size must be a whole number"),
    "align above the memory": (lambda: EmbeddingBag(100, 4, memory_size=50, sharing=Robe(4, align=64)), "align=64"),
    "linear beyond its prime": (
        lambda: EmbeddingBag(100, 4, memory_size=2_100_000_000, sharing=Robe(4, hash="linear"), device="meta"),
        "reaches only 2038074743 slots",
    ),
    "norm_type": (lambda: EmbeddingBag(100, 16, norm_type=1.0, **ROBE), "norm_type"),
    "no width": (lambda: EmbeddingBag(10, 0, memory_size=99), "embedding_dim must be at least 1"),
    "open-ended by ratio": (lambda: EmbeddingBag(None, 16, compression=10), "give memory_size"),
    "open-ended full": (lambda: EmbeddingBag(None, 16, sharing=Full()), "needs num_embeddings"),
    "unknown mode": (lambda: EmbeddingBag(100, 16, mode="summ", **ROBE), "did you mean 'sum'"),
    "padding out of range": (
        lambda: EmbeddingBag(100, 16, padding_idx=100, **ROBE),
        "padding_idx must be below num_embeddings=100",
    ),
    "padding between ids": (lambda: EmbeddingBag(100, 16, padding_idx=1.5, **ROBE), "padding_idx must be a whole"),
    "integers for a type": (
        lambda: EmbeddingBag(100, 16, dtype=torch.int32, **ROBE),
        "dtype: must be one of torch.float32",
    ),
    "word for a type": (lambda: EmbeddingBag(100, 16, dtype="int8", **ROBE), "dtype: must be one of"),
    "word for a seed": (lambda: EmbeddingBag(100, 16, seed="a", **ROBE), "seed must be a whole number"),
    "half a seed": (lambda: EmbeddingBag(100, 16, seed=1.5, **ROBE), "seed must be a whole number"),
    "a table for tables": (lambda: EmbeddingBagCollection(Table("t", 9, 2), memory_size=9), "must be a list of Tables"),
    "words for tables": (lambda: EmbeddingBagCollection("ab", memory_size=9), "must be Tables, got 'a'"),
    "a number for features": (lambda: Table("t", 9, 2, 4), "features is a tuple of names"),
    "word for a flag": (lambda: Robe(signed="no"), "signed must be True or False"),
    "number for a hash": (lambda: Robe(16, 2), "hash: unknown name 2: choose from"),
    "max_norm": (lambda: EmbeddingBag(100, 16, max_norm=1.0, **ROBE), "max_norm and norm_type renormalise"),
    "scale_grad_by_freq": (lambda: EmbeddingBag(100, 16, scale_grad_by_freq=True, **ROBE), "scale_grad_by_freq"),
    "sparse": (lambda: Embedding(100, 16, sparse=True, **ROBE), "sparse=True"),
    "_weight": (lambda: Embedding(100, 16, _weight=torch.ones(100, 16), **ROBE), "_weight is a full table"),
    "_weight of another shape": (
        lambda: Embedding(100, 16, _weight=torch.ones(99, 16), sharing=Full()),
        r"shape \(100, 16\), got \(99, 16\)",
    ),
    "unknown hash": (lambda: Robe(hash="mixin"), "did you mean 'mixing'"),
    "unknown init": (lambda: EmbeddingBag(100, 16, init="widht", **ROBE), "did you mean 'width'"),
    "negative init": (lambda: EmbeddingBag(100, 16, init=-1.0, **ROBE), "init must be a number in"),
    "chunk 0": (lambda: Robe(chunk_size=0), "chunk_size must be at least 1"),
    "authors signed": (lambda: Robe(hash="authors", signed=True), "neither signs nor alignment"),
    "authors overflow": (
        lambda: EmbeddingBag(10_586_908_979, 16, memory_size=999, sharing=Robe(hash="authors")),
        "overflows above id 10586908977",
    ),
    "bad seed": (lambda: EmbeddingBag(100, 16, seed=-1, **ROBE), r"seed must be at least 0, got -1"),
    "no tables": (lambda: EmbeddingBagCollection([], memory_size=9), "at least one table"),
    "same name": (
        lambda: EmbeddingBagCollection([Table("a", 5, 2), Table("a", 5, 2)], memory_size=9),
        "table names must be unique, got 'a'",
    ),
    "same feature": (
        lambda: EmbeddingBagCollection([Table("a", 5, 2, ("f",)), Table("b", 5, 2, ("f",))], memory_size=9),
        "feature names must be unique, got 'f'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused_with_the_reason(case):
    build, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        build()


BAG = EmbeddingBag(100, 16, **ROBE)
BAD_CALLS = {
    "a list": (lambda: BAG([[1, 2]]), "input must be a torch.Tensor, got a list"),
    "four parts": (
        lambda: EmbeddingBagCollection([Table("t", 9, 2)], memory_size=9)((1, 2, 3, 4)),
        "bags are a tuple",
    ),
    "float ids": (lambda: BAG(torch.zeros(2, 2)), "input must be int64 or int32, got torch.float32"),
    "no offsets": (lambda: BAG(torch.zeros(2, dtype=torch.int64)), "needs offsets"),
    "both": (lambda: BAG(torch.zeros(2, 2, dtype=torch.int64), torch.tensor([0])), "takes no offsets"),
    "3-D": (lambda: BAG(torch.zeros(2, 2, 2, dtype=torch.int64)), "1-D or 2-D"),
    "weights with mean": (
        lambda: BAG(torch.zeros(2, 2, dtype=torch.int64), per_sample_weights=torch.ones(2, 2)),
        "sum pooling only, got 'mean'",
    ),
    "unsorted": (lambda: BAG(torch.zeros(3, dtype=torch.int64), torch.tensor([0, 2, 1])), "must not fall"),
    "float offsets": (lambda: BAG(torch.zeros(3, dtype=torch.int64), torch.tensor([0.0])), "offsets must be int64"),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_bad_calls_are_named(case):
    call, message = BAD_CALLS[case]
    with pytest.raises(ValueError, match=message):
        call()
