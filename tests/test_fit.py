"""fit_: against torch's own solvers, on the matrix that says which slot serves which element; and what it leaves be."""

from __future__ import annotations

import copy

import pytest
import torch
from lookups import ALL, budget, materialise
from torch import nn

from pocketrec import (
    DeepHash,
    EmbeddingBag,
    HashEmbeddings,
    HashingTrick,
    HotCold,
    LowRank,
    MixedDimensions,
    MultiHash,
    QuotientRemainder,
    Robe,
    TensorTrain,
    compress_,
    fit_,
)
from pocketrec.compress import FitConfig, blocks
from pocketrec.compress.relative_error import relative_error
from pocketrec.compress.trained import Trained

N, D = 129, 12
EXACT = FitConfig(iterations=200, steps=0)
"""Until it stalls, and no step down the gradient."""


def bag(sharing, n=N, dim=D, dtype=torch.float64, **options):
    torch.manual_seed(0)
    given = {"memory_size": 211} | options
    return EmbeddingBag(n, dim, mode="sum", sharing=sharing, dtype=dtype, **given)


def table(n=N, dim=D):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def rows(module):
    with torch.no_grad():
        return module(torch.arange(module.num_embeddings)[:, None])


def system(module):
    """R: (n * D, M), the derivative of the materialised table by the memory."""
    (virtual,) = materialise(module)
    every = torch.eye(virtual.numel(), dtype=virtual.dtype).view(-1, *virtual.shape)
    return torch.autograd.grad(virtual, module.memory, every, is_grads_batched=True)[0]


def is_linear(scheme):
    """Whether rows are sums of slots: given what is learned beside them, if anything."""
    recovery = bag(ALL[scheme], **budget(scheme)).recovery
    return recovery is None or (recovery.linear and not recovery.combines)


LINEAR = [scheme for scheme in ALL if scheme != "full" and is_linear(scheme)]


@pytest.mark.parametrize("scheme", LINEAR)
@pytest.mark.parametrize("padding", [None, 2])
def test_sums_of_slots_are_the_least_squares(scheme, padding):
    """One slot for an element or several, with signs, factors, maps: no memory comes nearer. Unused slots are kept."""
    module, weight = bag(ALL[scheme], padding_idx=padding, **budget(scheme)), table()
    start, matrix = module.memory.detach().clone(), system(module)
    if padding is not None:
        weight[padding] = 1e6
        matrix.view(N, D, -1)[padding] = 0
    fit_(module, weight, EXACT)
    served = matrix.abs().sum(0) > 0
    target = weight.clone() if padding is None else weight.index_fill(0, torch.tensor(padding), 0)
    best = torch.linalg.lstsq(matrix[:, served], target.reshape(-1, 1), driver="gelsd").solution
    least = (matrix[:, served] @ best - target.reshape(-1, 1)).norm()
    assert (rows(module) - target).norm() <= least * (1 + 1e-5)
    assert torch.equal(module.memory[~served], start[~served])
    assert relative_error(module, weight) == pytest.approx(float(least / target.norm()), rel=1e-5)


def test_every_kind_of_sum_is_among_them():
    """The test above means nothing for schemes that it leaves out."""
    words = ("robe", "hashing-trick", "hashednets", "robe-3-hashes", "multi-hash-sum", "multi-hash-concat", "qr-add")
    assert {*words, "qr-concat", "hash-embeddings", "cce", "hot-cold"} <= {*LINEAR}
    assert not {"qr-multiply", "low-rank", "tt", "dhe"} & {*LINEAR}


@pytest.mark.parametrize("scheme", ["robe-signed", "multi-hash-sum", "low-rank", "low-rank-hashed"])
def test_block_by_block_is_the_same(scheme, monkeypatch):
    """A block's share lost, or counted twice; the padding row in a block of its own."""
    sharing = Robe(4, signed=True) if scheme == "robe-signed" else ALL[scheme]
    modules = [bag(sharing, padding_idx=100, memory_size=250) for _ in range(2)]
    fit_(modules[0], table(), EXACT)
    monkeypatch.setattr(blocks, "_LEAST_ELEMENTS", 1)
    assert blocks.rows_at_once(12, 250) < 129 / 4
    fit_(modules[1], table(), EXACT)
    torch.testing.assert_close(rows(modules[1]), rows(modules[0]), atol=1e-5, rtol=1e-5)


def test_ids_that_are_hot_have_what_their_rows_were():
    """The present map: rows of their own are exact, the others the mean of what they serve."""
    module = bag(HotCold(cold=Robe(4), ways=2, candidates=1), memory_size=400)
    module.train()(torch.arange(20)[:, None].repeat(5, 1)).sum().backward()
    module.eval()
    weight = table()
    fit_(module, weight)
    exact = (rows(module) - weight).abs().amax(1) < 1e-6
    assert 5 <= exact.sum() <= 20
    assert not exact[20:].any()


def test_iterations_end_where_they_are_told_to():
    far, near = bag(MultiHash(3), memory_size=700), bag(MultiHash(3), memory_size=700)
    fit_(far, table(), FitConfig(iterations=1))
    fit_(near, table())
    assert relative_error(near, table()) < 0.98 * relative_error(far, table()) < 1


def test_importance_weights_are_learned_from_the_best_memory():
    module, weight = bag(HashEmbeddings()), table()
    fit_(module, weight, EXACT)
    given = relative_error(module, weight)
    fit_(module, weight, FitConfig(steps=100))
    assert relative_error(module, weight) < 0.95 * given


def tail(matrix, rank):
    """The squares of all singular values but the largest."""
    return torch.linalg.svdvals(matrix)[rank:].square().sum()


@pytest.mark.parametrize("sharing", [LowRank(), LowRank(5), MixedDimensions(0.0)])
@pytest.mark.parametrize("padding", [None, 7])
def test_low_rank_is_the_singular_value_decomposition(sharing, padding):
    """Eckart and Young: no table of that rank is nearer."""
    module, weight = bag(sharing, memory_size=900, padding_idx=padding), table()
    own, matrix = module.memory.detach().clone(), module.recovery.matrix(0).detach()
    rank = len(matrix)
    assert 1 < rank < D
    fit_(module, weight)
    if padding is not None:
        weight[padding] = 0
        assert torch.equal(module.memory.view(-1, rank)[padding], own.view(-1, rank)[padding])
    error = (rows(module) - weight).square().sum()
    torch.testing.assert_close(error, tail(weight, rank), rtol=1e-5, atol=0)
    assert matrix.square().mean() == pytest.approx(1 / rank), "as initial values are"


@pytest.mark.parametrize("rank", [1, 3])
def test_low_rank_of_shared_rows_is_the_decomposition_of_their_means(rank):
    """Rows that share one are nearest to their mean; a mean of many weighs more."""
    module, weight = bag(LowRank(rank, "hashed"), memory_size=rank * (D + 40), padding_idx=3), table()
    narrow, start = module.memory.numel() // rank, module.memory.detach().clone()
    module.memory.data.view(narrow, rank)[:, 0] = torch.arange(narrow)
    module.recovery.matrix(0).data[0, 0] = 1
    module.recovery.matrix(0).data[1:, 0] = 0
    row_of = rows(module)[:, 0].round().long()  # which row of A an id reads
    module.memory.data.copy_(start)
    fit_(module, weight)
    kept = torch.arange(N) != 3
    share = nn.functional.one_hot(row_of, narrow).double()[kept]
    counts = share.sum(0)
    means = share.T @ weight[kept] / counts.clamp(min=1)[:, None]
    within = (weight[kept] - share @ means).square().sum()
    error = (rows(module) - weight)[kept].square().sum()
    torch.testing.assert_close(error, within + tail(counts.sqrt()[:, None] * means, rank), rtol=1e-5, atol=0)
    unused = counts == 0
    assert unused.any()
    assert torch.equal(module.memory.view(narrow, rank)[unused], start.view(narrow, rank)[unused])


@pytest.mark.parametrize("sharing", [TensorTrain(), DeepHash(), LowRank(), MixedDimensions(), HashingTrick()])
def test_a_table_kept_whole_is_given_back(sharing):
    """No gradient step where rows have slots of their own."""
    model = nn.Sequential(nn.Embedding(50, 4))
    trained = model[0].weight.detach().clone()
    report = compress_(model, sharing, compression=1, fit=True)
    torch.testing.assert_close(model[0](torch.arange(50)), trained)
    assert report.errors == {"0": pytest.approx(0, abs=1e-6)}


REPRESENTABLE = {
    "qr-multiply": (QuotientRemainder("multiply"), 0.05),
    "tt": (TensorTrain(3), 0.05),
    "hash-embeddings": (HashEmbeddings(), 0.3),
    "dhe": (DeepHash(), 0.5),
}
"""And what is to be left of the error."""


@pytest.mark.parametrize("case", REPRESENTABLE)
def test_steps_find_a_table_that_is_there_to_be_found(case):
    """From values that have nothing to do with it, and rows a hundred times smaller."""
    sharing, most = REPRESENTABLE[case]
    made = {"n": 2000, "dim": 8, "dtype": torch.float32, "memory_size": 3000}
    source = bag(sharing, init=1.0, **made)
    for parameter in source.recovery.parameters():
        nn.init.normal_(parameter, std=0.5)
    torch.manual_seed(5)
    module = bag(sharing, **made)
    module.reset_parameters()
    before = relative_error(module, rows(source))
    fit_(module, rows(source), FitConfig(steps=200))
    assert before > 0.99
    assert relative_error(module, rows(source)) < most


GRADIENT = {
    "qr-multiply": QuotientRemainder(),
    "tt": TensorTrain(2),
    "dhe": DeepHash(),
    "hash-embeddings": HashEmbeddings(),
}


@pytest.mark.parametrize("case", GRADIENT)
def test_steps_are_the_same_for_the_same_seed_and_leave_the_generators_alone(case):
    modules = [bag(GRADIENT[case], memory_size=400, dtype=torch.float32) for _ in range(3)]
    torch.manual_seed(7)
    state = torch.get_rng_state()
    for module, seed in zip(modules, (1, 1, 2), strict=True):
        fit_(module, table(2 * N)[::2], FitConfig(steps=20, seed=seed))
        assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(rows(modules[0]), rows(modules[1]))
    if case != "hash-embeddings":  # which begins at the best memory, and sees all rows in a step
        assert not torch.equal(rows(modules[0]), rows(modules[2]))


@pytest.mark.parametrize("case", GRADIENT)
def test_steps_never_end_further_away(case):
    """A table that is served already: what is drawn anew, or a step too long, must not replace it."""
    module = bag(GRADIENT[case], memory_size=400)
    parameters = [p.detach().clone() for p in module.parameters()]
    fit_(module, rows(module), FitConfig(steps=2))
    assert relative_error(module, rows(module)) < 1e-6
    for kept, now in zip(parameters, module.parameters(), strict=True):
        torch.testing.assert_close(now.detach(), kept, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("case", [*GRADIENT, "low-rank"])
def test_the_padding_row_counts_for_nothing(case):
    """Were it near to anything, all other rows would be far."""
    first, second = (bag((GRADIENT | {"low-rank": LowRank()})[case], memory_size=400, padding_idx=5) for _ in range(2))
    weight = table()
    fit_(first, weight, FitConfig(steps=20))
    weight[5] = 1e6
    fit_(second, weight, FitConfig(steps=20))
    assert torch.equal(rows(first), rows(second))
    assert relative_error(first, weight) == relative_error(first, table()) < 2


KINDS = [Robe(4), MultiHash(2), LowRank(3), QuotientRemainder(), DeepHash(), HashEmbeddings()]
"""One for each way to fit."""


@pytest.mark.parametrize("sharing", KINDS)
def test_half_precision_is_fitted_in_float32_and_rounded_once(sharing):
    """Sums of hundreds of half numbers would lose them; so would a step of a thousandth of a number."""
    half, single = (bag(sharing, memory_size=600, dtype=dtype) for dtype in (torch.bfloat16, torch.float32))
    for own, other in zip(half.parameters(), single.parameters(), strict=True):
        other.data.copy_(own.data)
    weight = table().bfloat16()
    for module in (half, single):
        fit_(module, weight, FitConfig(steps=20))
    for own, other in zip(half.parameters(), single.parameters(), strict=True):
        assert torch.equal(own, other.bfloat16())


@pytest.mark.parametrize("sharing", KINDS)
@pytest.mark.parametrize("dtype", [torch.int8, torch.int4])
def test_integers_are_fitted_by_their_master(sharing, dtype):
    """Fitted through what integers make of it, no step would move anything. The error told is that of the integers."""
    given = {"memory_size": None, "memory_bytes": 2400}
    shadowed = bag(sharing, dtype=dtype, **given)
    assert shadowed.bits in (4, 8)
    own = copy.deepcopy(shadowed)
    own.bits = None
    fit_(shadowed, table(), FitConfig(steps=20))
    fit_(own, table(), FitConfig(steps=20))
    for a, b in zip(shadowed.parameters(), own.parameters(), strict=True):
        assert a.dtype == torch.float32
        assert torch.equal(a, b)
    error = (rows(shadowed) - table()).norm() / table().norm()
    assert relative_error(shadowed, table()) == pytest.approx(float(error), rel=1e-5)


def test_a_report_says_what_the_compression_costs():
    model = nn.ModuleDict({"users": nn.Embedding(300, 8, padding_idx=0), "bags": nn.EmbeddingBag(200, 8, mode="max")})
    weights = {name: module.weight.detach().clone() for name, module in model.items()}
    report = compress_(model, QuotientRemainder("add"), compression=4, fit=FitConfig(iterations=5))
    assert [*report.errors] == ["users", "bags"]
    for name, error in report.errors.items():
        served = rows(model[name]) if name == "bags" else model[name](torch.arange(300)).detach()
        assert error == pytest.approx(float((served - weights[name]).norm() / weights[name].norm()), rel=1e-5)
        assert f"fitted {name}: relative error {error:.4g}" in str(report)
    assert not compress_(nn.Sequential(nn.Embedding(300, 8)), compression=4).errors


def test_the_error_of_computed_rows_is_that_of_a_sample(monkeypatch):
    monkeypatch.setattr("pocketrec.compress.relative_error._SAMPLE", 4000)
    module = bag(DeepHash(), n=6000, dtype=torch.float32)
    weight = table(6000).float()
    error = float((rows(module) - weight).norm() / weight.norm())
    assert relative_error(module, weight) == pytest.approx(error, rel=0.01)
    assert relative_error(module, weight) == relative_error(module, weight) != error


def test_what_cannot_be_fitted_is_kept():
    """Nothing half done: the table is as it was, and the report says why."""
    broken = nn.Embedding(300, 8)
    broken.weight.data[7, 3] = torch.nan
    model = nn.ModuleDict(
        {"broken": broken, "meta": nn.Embedding(300, 8, device="meta"), "whole": nn.Embedding(300, 8)}
    )
    report = compress_(model, compression=4, fit=True)
    assert report.swapped == ("whole",)
    assert [*report.errors] == ["whole"]
    assert "infinities or NaN" in report.kept["broken"]
    assert "meta device" in report.kept["meta"]
    assert model["broken"] is broken


REFUSED = {
    "integers": (lambda: fit_(bag(Robe(4)), torch.zeros(N, D, dtype=torch.int64)), "of a floating type"),
    "no rows known": (lambda: fit_(EmbeddingBag(None, D, memory_size=50), table()), r"shape \(None, 12\)"),
    "infinities": (lambda: fit_(bag(Robe(4)), table() / 0), "infinities or NaN"),
    "no iterations": (lambda: FitConfig(iterations=0), "iterations must be at least 1, got 0"),
    "half a step": (lambda: FitConfig(steps=0.5), "steps must be a whole number, got 0.5"),
    "a seed below 0": (lambda: FitConfig(seed=-1), "seed must be at least 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused(case):
    build, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("sharing", KINDS)
def test_a_table_of_zeros_is_fitted(sharing):
    """Nothing to scale by."""
    module = bag(sharing, memory_size=600)
    fit_(module, torch.zeros(N, D), FitConfig(steps=20))
    assert rows(module).isfinite().all()
    assert rows(module).abs().max() < 0.1


def test_a_step_takes_as_many_rows_whatever_the_first_is(monkeypatch):
    """The padding row reads nothing: to go by it would be to take millions."""
    taken = []
    draw = Trained.draw
    monkeypatch.setattr(
        Trained, "draw", lambda self, rows, generator: taken.append(rows) or draw(self, rows, generator)
    )
    for padding in (None, 0):
        fit_(bag(QuotientRemainder(), padding_idx=padding, memory_size=400), table(), FitConfig(steps=1))
    fit_(bag(QuotientRemainder(), n=1, padding_idx=0, memory_size=400), table(1), FitConfig(steps=1))
    assert taken[1] == taken[3]
    assert max(taken) < 1 << 18
