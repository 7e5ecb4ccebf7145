"""Rows computed from pieces: low rank, mixed dimensions, tensor trains, deep hashes. What is special to each."""

from __future__ import annotations

import copy
import math
import re

import oracles
import pytest
import torch

from pocketrec import (
    DeepHash,
    EmbeddingBag,
    EmbeddingBagCollection,
    LowRank,
    MixedDimensions,
    Table,
    TensorTrain,
    full_bytes,
    optim,
    quantize_,
    stored_bytes,
)

TABLES = [Table("large", 20_000, 16), Table("small", 10, 16), Table("middle", 3000, 16)]


def made(sharing, tables=TABLES, **budget):
    return EmbeddingBagCollection(tables, sharing, **budget)


def rows_of(module, feature=0, count=2000):
    ids = torch.zeros(count, module.num_features, dtype=torch.int64)
    ids[:, feature] = torch.arange(count) % (module.tables[feature].num_embeddings or count)
    return module(ids)[:, feature].detach()


@pytest.mark.parametrize(
    ("sharing", "compression"),
    [(LowRank(), 4), (LowRank(2, "hashed"), 100), (MixedDimensions(), 4), (TensorTrain(), 30), (DeepHash(), 20)],
    ids=str,
)
@pytest.mark.parametrize("bound", [0.01, 0.5])
def test_rows_start_as_widely_spread_as_those_of_other_schemes(sharing, compression, bound):
    """A product of small numbers is far smaller still; a sum of many far larger."""
    torch.manual_seed(0)
    spread = [
        rows_of(made(sharing, compression=compression, init=bound), feature).square().mean()
        for feature in (0, 2)
        for _ in range(8)
    ]
    assert math.isclose(float(torch.stack(spread).mean().sqrt()), bound / math.sqrt(3), rel_tol=0.25)


@pytest.mark.parametrize("sharing", [LowRank(), MixedDimensions(), TensorTrain(), LowRank(3), TensorTrain(8)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8], ids=str)
def test_a_refusal_names_the_memory_and_the_compression_that_do(sharing, dtype):
    """The number named must work, and one slot less must not; a projection stays in float32 beside an int8 memory."""
    with pytest.raises(ValueError, match="takes at least") as refusal:
        made(sharing, compression=10_000, dtype=dtype)
    slots, reach = re.search(r"takes at least (\d+).* \(at most ([\d.]+)\)", str(refusal.value)).groups()
    assert stored_bytes(made(sharing, compression=float(reach), dtype=dtype)) <= full_bytes_of_tables() / float(reach)
    made(sharing, memory_size=int(slots), dtype=dtype)
    with pytest.raises(ValueError, match="takes at least"):
        made(sharing, memory_size=int(slots) - 64, dtype=dtype)


def full_bytes_of_tables():
    return 4 * sum(t.num_embeddings * t.embedding_dim for t in TABLES)


@pytest.mark.parametrize("sharing", [LowRank(), MixedDimensions(), TensorTrain(), DeepHash()], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8], ids=str)
@pytest.mark.parametrize("compression", [1, 2, 3.7, 9])
def test_what_is_stored_fits_and_fills_the_budget(sharing, dtype, compression):
    """An idle half of the budget is a scheme measured at twice its compression."""
    module = made(sharing, compression=compression, dtype=dtype)
    allowed = full_bytes(module) / compression
    useful = min(allowed, full_bytes(module) * (1 if dtype.itemsize == 4 else dtype.itemsize / 4))
    assert stored_bytes(module) <= allowed
    assert stored_bytes(module) >= 0.6 * useful


def test_no_two_ids_share_a_row_of_low_rank():
    """As a hashed scheme's do: the reason to pay a number for each. What is left over goes to the smallest tables."""
    module = made(LowRank(), compression=12)
    assert module.recovery.widths == (1, 16, 3)
    assert len(torch.unique(rows_of(module, 0, 20_000), dim=0)) > 19_900, "of 2^24 float32 numbers, a few are equal"


def test_low_rank_keeps_a_table_whole_that_would_store_as_much_narrow():
    """10 rows of 16 numbers: rank 7 and its projection are more."""
    module = made(LowRank(7), compression=2)
    assert list(module.recovery.projections) == ["0", "2"]
    before = rows_of(module, 1, 10)
    with torch.no_grad():
        for projection in module.recovery.projections.values():
            projection.zero_()
    assert torch.equal(rows_of(module, 1, 10), before)


@pytest.mark.parametrize("compression", [30, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int8], ids=str)
def test_hashed_low_rank_goes_beyond_a_number_a_row(compression, dtype):
    for rank in (None, 1, 5, 40):
        try:
            module = made(LowRank(rank, "hashed"), compression=compression, dtype=dtype)
        except ValueError as refusal:
            assert compression == 1000 and "a row for each of 3 tables" in str(refusal)  # noqa: PT017, PT018
            continue
        assert 0.5 * full_bytes(module) / compression <= stored_bytes(module) <= full_bytes(module) / compression


def test_hashed_low_rank_takes_open_ended_tables():
    endless = EmbeddingBag(None, 8, mode="sum", sharing=LowRank(2, "hashed"), memory_size=100)
    assert endless(torch.tensor([[0, 2**62 - 1]])).shape == (1, 8)


def test_hashed_low_rank_gives_ids_numbers_of_their_own_where_a_share_holds_them():
    """Small tables whole, the middle one exact and narrow, the large one hashed at rank 1: what serves quality best."""
    tables = [Table("large", 200_000, 16), Table("small", 100, 16), Table("middle", 3000, 16)]
    module = made(LowRank(rows="hashed"), tables, memory_size=20_000)
    assert module.recovery.widths == (1, 16, 3)
    assert [len(oracles.short_table(module, i)) for i in range(3)] == [10_000 - 664, 100, 3000]


def test_popular_rows_are_wide():
    tables = [Table(str(n), n, 16) for n in (10_000, 100_000, 1000)]
    for temperature, wanted in ((0.0, [4, 4, 4]), (0.3, [4, 2, 8])):
        module = made(MixedDimensions(temperature, powers_of_two=True), tables, memory_size=4 * 112_000)
        assert [module.recovery.widths[i] for i in range(3)] == wanted
    assert made(MixedDimensions(0.5), tables, compression=1).recovery.widths == (16, 16, 16)


def test_digits_of_ids_stay_within_their_cores_at_40_million_rows():
    """Divided in floating point, 16 % of them would not; and no two ids may share all three."""
    n = 40_000_001
    module = made(TensorTrain(2), [Table("t", n, 4)], memory_size=100_000)
    ids = torch.cat([torch.arange(1000), torch.arange(n - 1000, n), torch.randint(0, n, (1000,))]).unique()
    digits, _ = module.recovery.translate(ids[:, None], torch.tensor([0]))
    digits = digits.flatten(1)
    lengths = torch.tensor(module.recovery.trains[0].rows)
    assert lengths.prod() >= n
    assert max(lengths) - min(lengths) <= 2, "as near to each other as they can be"
    assert (digits >= 0).all()
    assert (digits < lengths).all()
    assert len(digits.unique(dim=0)) == len(ids)
    assert module(torch.tensor([[n - 1]])).shape == (1, 1, 4)


@pytest.mark.parametrize("dim", oracles.FACTORS)
def test_a_width_is_factorised_whatever_it_is(dim):
    """Primes too: FBTT-Embedding refuses them."""
    module = made(TensorTrain(2), [Table("t", 1000, dim)], memory_size=1000)
    assert module.recovery.trains[0].dims == oracles.FACTORS[dim]
    assert rows_of(module, 0, 1000).unique(dim=0).shape == (1000, dim)


def test_small_tables_are_kept_whole_beside_tensor_trains():
    module = made(TensorTrain(8), compression=30)
    assert [train.rank for train in module.recovery.trains] == [8, 0, 8]
    assert made(TensorTrain(), compression=2).recovery.trains[2].rank == 0, "what rank 64 leaves keeps tables whole"
    assert made(TensorTrain(), compression=1).recovery is None, "rows of their own, and nothing beside"


MEMORYLESS = [Table("a", 3000, 8), Table("b", 2000, 6, ("b1", "b2"), padding_idx=3), Table("open", None, 8)]


def memoryless(**options):
    torch.manual_seed(0)
    return EmbeddingBagCollection(MEMORYLESS, DeepHash(), memory_size=4000, **options)


def test_networks_need_no_memory(tmp_path):
    """No piece at all: ids, bags, padding, copies, states, and what works on memories says that there is none."""
    module = memoryless()
    assert not hasattr(module, "memory")
    ids = torch.tensor([[5, 3, 7, 2**62 - 1], [2999, 1999, 3, 2**62 - 2]])
    rows = module(ids)
    assert not rows[0, 8:14].any()
    assert not rows[1, 14:20].any()
    assert not torch.equal(rows[0, 20:], rows[1, 20:]), "as ids in float64 would be"
    torch.testing.assert_close(module((ids.T.reshape(-1), torch.arange(9))), rows)
    torch.testing.assert_close(copy.deepcopy(module)(ids), rows)
    torch.save(module.state_dict(), tmp_path / "state.pt")
    other = memoryless(device="meta").to_empty(device="cpu")
    other.reset_parameters()
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(other(ids), rows)
    with pytest.raises(RuntimeError, match="another budget or seed"):
        memoryless(seed=1).load_state_dict(module.state_dict())
    with pytest.raises(ValueError, match="keep no memory"):
        optim.SGD(module)
    assert torch.equal(quantize_(module)(ids), rows)
    with pytest.raises(ValueError, match=r"feature 'b1', sample 0: id 2000 is outside \[0, 2000\)"):
        module(torch.tensor([[0, 2000, 0, 0]]))


def test_a_network_reads_numbers_that_are_exact_and_spread_evenly():
    """Numbers of an id: k of them, in (-1, 1), odd multiples of 2^-16 whatever the type that can hold them."""
    recovery = memoryless().recovery
    ids = torch.stack([torch.arange(2000), torch.arange(2000) + 2**61], 1)
    numbers = recovery._encode(ids, [0, 2], torch.float32)
    assert numbers.shape == (2, 2000, recovery.num_hashes)
    assert torch.equal(numbers, recovery._encode(ids, [0, 2], torch.float64).float())
    assert (numbers * 2**16 % 2 == 1).all()
    assert abs(float(numbers.mean())) < 0.01
    assert abs(float(numbers.square().mean()) - 1 / 3) < 0.01
    assert not torch.equal(numbers[0], recovery._encode(ids[:, :1], [2], torch.float32)[0]), "tables differ"
    correlation = torch.corrcoef(numbers[0].T) - torch.eye(recovery.num_hashes)
    assert correlation.abs().max() < 0.12


@pytest.mark.parametrize("sharing", [LowRank(3), TensorTrain(4), DeepHash()], ids=str)
def test_the_memory_can_be_stepped_by_a_fused_optimiser_and_the_rest_by_torch(sharing):
    """Together they do what torch does to all; a piece's gradient that reached the wrong slots would differ."""
    torch.manual_seed(0)
    fused = made(sharing, compression=4)
    plain = copy.deepcopy(fused)
    beside = [p for p in fused.parameters() if p is not fused.memory]
    both = [optim.SGD(fused, lr=0.1), *([torch.optim.SGD(beside, lr=0.1)] if beside else [])]
    steps = ((fused, both), (plain, [torch.optim.SGD(plain.parameters(), lr=0.1)]))
    ids = torch.stack([torch.randint(0, t.num_embeddings, (64,)) for t in TABLES], 1)
    for module, optimizers in steps:
        for _ in range(3):
            (module(ids) - 1).square().sum().backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
    for own, true in zip(fused.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own, true)


@pytest.mark.parametrize("sharing", [TensorTrain(8), DeepHash()], ids=str)
@pytest.mark.parametrize("in_bags", [False, True])
def test_a_row_that_costs_much_is_recovered_once_a_batch(sharing, in_bags):
    """Click logs repeat their ids; what backward keeps tells how many rows were multiplied."""
    module = made(sharing, compression=30)

    def kept_for_backward(column):
        ids = torch.stack([column, torch.zeros_like(column), column], 1)
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.nbytes), lambda t: t):
            module((ids.T.reshape(-1), torch.arange(ids.numel() + 1))) if in_bags else module(ids)
        return sum(kept)

    assert kept_for_backward(torch.arange(1500) % 15) < kept_for_backward(torch.arange(1500)) / 3


@pytest.mark.parametrize("sharing", [LowRank(), MixedDimensions(), TensorTrain()], ids=str)
def test_exact_rows_need_to_know_their_table(sharing):
    with pytest.raises(ValueError, match=r"table 'table': .* needs num_embeddings"):
        EmbeddingBag(None, 8, sharing=sharing, memory_size=100)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LowRank(0), "rank must be at least 1, got 0"),
        (lambda: LowRank(rows="hash"), "rows: unknown name 'hash': did you mean 'hashed'"),
        (lambda: MixedDimensions(1.5), r"temperature must be a number in \[0, 1\], got 1.5"),
        (lambda: MixedDimensions("a"), "temperature must be a number"),
        (lambda: LowRank(rank=True), "rank must be a whole number, got True"),
        (lambda: TensorTrain(0), "rank must be at least 1, got 0"),
        (lambda: DeepHash(0), "num_hashes must be at least 1"),
        (lambda: DeepHash(depth=0), "depth must be at least 1"),
        (lambda: DeepHash(activation="swish"), "activation: unknown name 'swish': did you mean 'mish'"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
