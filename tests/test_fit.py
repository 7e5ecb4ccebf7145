"""fit_: against torch's own solvers, on the matrix that says which slot serves which element; and what it leaves be."""

from __future__ import annotations

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
