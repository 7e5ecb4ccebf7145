"""The op: both implementations against the materialised table, forward and gradient; autograd, fake and errors."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
import torch
from lookups import SCHEMES, collection, materialise, pool, random_bags, tables

from pocketrec import EmbeddingBag, EmbeddingBagCollection, Robe, Table, kernels, ops
from pocketrec.ops import reference
from pocketrec.ops.layout import from_tensor

HASHED = [name for name in SCHEMES if name != "full"]
needs_kernel = pytest.mark.skipif(kernels.cpu() is None, reason="no C++ kernel")
NAMES = ["reference", pytest.param("cpp", marks=needs_kernel)]


@pytest.fixture(params=NAMES)
def kernel(request):
    return reference if request.param == "reference" else kernels.cpu()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("pooling", ["sum", "mean", "max"])
@pytest.mark.parametrize("samples", [0, 1, 129])
def test_bags_equal_the_pool_of_materialised_rows(scheme, pooling, samples, kernel):
    torch.manual_seed(samples)
    module = collection(scheme, tables(pooling, padding=3))
    values, offsets = random_bags(module, samples)
    (memory,), (layout,) = module.parameters(), module.buffers()
    out = kernel.lookup(memory.detach(), values, offsets, None, layout, 36)
    expected = pool(module, values, offsets)
    torch.testing.assert_close(out, expected.detach())

    grad = torch.randn_like(expected)
    expected_grad = torch.autograd.grad(expected, memory, grad)[0] if samples else torch.zeros_like(memory)
    torch.testing.assert_close(
        kernel.lookup_backward(grad, memory.detach(), values, offsets, None, layout), expected_grad
    )


@pytest.mark.parametrize("scheme", SCHEMES)
def test_one_id_a_feature_equals_bags_of_one(scheme, kernel):
    module = collection(scheme, tables())
    (memory,), (layout,) = module.parameters(), module.buffers()
    ids = torch.stack(
        [torch.randint(0, 129, (50,)), torch.zeros(50, dtype=torch.int64), torch.zeros(50, dtype=torch.int64)], 1
    )
    flat, offsets = ids.T.reshape(-1), torch.arange(151)
    alone = kernel.lookup(memory.detach(), ids, None, None, layout, 36)
    assert torch.equal(alone, kernel.lookup(memory.detach(), flat, offsets, None, layout, 36))
    grad = torch.randn_like(alone)
    torch.testing.assert_close(
        kernel.lookup_backward(grad, memory.detach(), ids, None, None, layout),
        kernel.lookup_backward(grad, memory.detach(), flat, offsets, None, layout),
    )


@pytest.mark.parametrize("scheme", SCHEMES)
def test_weights_scale_rows_and_get_their_gradient(scheme, kernel):
    torch.manual_seed(0)
    module = collection(scheme, tables(padding=3))
    values, offsets = random_bags(module, 17)
    weights = torch.randn(len(values), dtype=torch.float64, requires_grad=True)
    (memory,), (layout,) = module.parameters(), module.buffers()
    expected = pool(module, values, offsets, weights)
    out = kernel.lookup(memory.detach(), values, offsets, weights.detach(), layout, 36)
    torch.testing.assert_close(out, expected.detach())
    grad = torch.randn_like(out)
    for_memory, for_weights = torch.autograd.grad(expected, (memory, weights), grad)
    detached = memory.detach()
    torch.testing.assert_close(
        kernel.lookup_backward(grad, detached, values, offsets, weights.detach(), layout), for_memory
    )
    torch.testing.assert_close(kernel.lookup_backward_weights(grad, detached, values, offsets, layout), for_weights)


@needs_kernel
@pytest.mark.parametrize("scheme", HASHED)
def test_kernel_and_reference_read_the_same_slots(scheme):
    """Distinct slot contents make a wrong slot visible; ids up to the limit."""
    module = collection(scheme, [Table("t", None, 10)], memory_size=1_000_003)
    (layout,) = module.buffers()
    limit = from_tensor(layout)[0].num_embeddings
    ids = torch.tensor([[0], [1], [2**31], [2**33 + 5], [limit // 2], [limit - 1]])
    memory = torch.arange(module.memory.numel(), dtype=torch.float64) + 1
    args = (memory, ids.clamp(max=limit - 1), None, None, layout, 10)
    assert torch.equal(kernels.cpu().lookup(*args), reference.lookup(*args))


@pytest.mark.parametrize("pooling", ["sum", "max"])
@pytest.mark.parametrize("scheme", ["robe", "robe-linear-signed", "hashing-trick"])
def test_gradcheck_and_opcheck(scheme, pooling):
    torch.manual_seed(1)
    module = collection(scheme, tables(pooling, padding=3), memory_size=43)
    values, offsets = random_bags(module, 3)
    weights = torch.rand(len(values), dtype=torch.float64, requires_grad=True) if pooling == "sum" else None
    memory = module.memory.detach().uniform_(-1, 1).requires_grad_()
    args = (memory, values, offsets, weights, module.layout, 36)
    inputs = (memory,) if weights is None else (memory, weights)
    assert torch.autograd.gradcheck(lambda m, w=None: ops.lookup(m, values, offsets, w, module.layout, 36), inputs)
    torch.library.opcheck(torch.ops.pocketrec.lookup, args)
    torch.library.opcheck(torch.ops.pocketrec.lookup, (memory.detach(), *args[1:3], None, *args[4:]))


def test_infinite_rows_that_do_not_count_leave_no_trace(kernel):
    """Padding, and rows that lose a maximum, contribute nothing even where the memory has diverged."""
    for pooling in ("sum", "mean", "max"):
        module = collection("full", [Table("t", 3, 2, pooling=pooling, padding_idx=2)])
        (layout,) = module.buffers()
        memory = torch.tensor([[1.0, 2.0], [0.5, -torch.inf], [torch.inf, torch.nan]], dtype=torch.float64)
        out = kernel.lookup(memory, torch.tensor([2, 0, 2]), torch.tensor([0, 3]), None, layout, 2)
        assert out.tolist() == [[1.0, 2.0]]
        if pooling == "max":
            out = kernel.lookup(memory, torch.tensor([1, 0]), torch.tensor([0, 2]), None, layout, 2)
            assert out.tolist() == [[1.0, 2.0]]


def test_a_maximum_over_nan_is_nan(kernel):
    module = collection("full", [Table("t", 3, 1, pooling="max")])
    (layout,) = module.buffers()
    memory = torch.tensor([[1.0], [torch.nan], [2.0]], dtype=torch.float64)
    for ids in ([1, 0, 2], [0, 1, 2], [0, 2, 1]):
        assert kernel.lookup(memory, torch.tensor(ids), torch.tensor([0, 3]), None, layout, 1).isnan().all()


@pytest.mark.parametrize("scheme", ["robe", "full"])
def test_differentiating_twice_is_refused_not_zero(scheme):
    module = collection(scheme, [Table("t", 9, 4)])
    (parameter,) = module.parameters()
    out = module(torch.tensor([[3]])).pow(2).sum()
    (grad,) = torch.autograd.grad(out, parameter, create_graph=True)
    with pytest.raises((NotImplementedError, RuntimeError), match="once"):
        grad.sum().backward()


def test_max_sends_the_gradient_to_the_first_of_ties():
    module = collection("robe", [Table("t", 9, 4, pooling="max")])
    memory = torch.ones_like(module.memory).requires_grad_()
    values, offsets = torch.tensor([5, 2, 5]), torch.tensor([0, 3])
    ops.lookup(memory, values, offsets, None, module.layout, 4).sum().backward()
    rows = torch.autograd.grad(reference.rows(memory, from_tensor(module.layout)[0], torch.tensor([5])).sum(), memory)[
        0
    ]
    assert torch.equal(memory.grad, rows)


def test_full_tables_get_the_gradient_torch_would_give():
    torch.manual_seed(0)
    module = collection("full", tables("sum"))
    values, offsets = random_bags(module, 40)
    (table,) = module.parameters()
    out = module((values, offsets))
    out.backward(grad := torch.randn_like(out))
    assert table.grad.is_sparse
    expected = torch.autograd.grad(pool(module, values, offsets), table, grad.view(40, -1))[0]
    torch.testing.assert_close(table.grad.to_dense(), expected)


@pytest.fixture
def threads():
    """Sets the number of threads; the old one comes back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


# The ways a gradient is added up on CPU, by ids and slots: in copies of a small memory, in bins of a large one, in bins
# filled several times.
WAYS = {"copies": (4096, 4099), "bins": (4096, 300_007), "bins in tiles": (4096, 40_009)}


@needs_kernel
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scheme", HASHED)
@pytest.mark.parametrize("number", [1, 2, 8])
def test_large_gradients_equal_the_references(scheme, way, number, threads):
    """Small batches take one task; these are shared out. Weighted, with padding, and chunks that wrap and are split."""
    threads(number)
    ids, memory_size = WAYS[way]
    module = collection(scheme, tables(padding=3), memory_size=memory_size)
    values, offsets = random_bags(module, ids // 6)
    weights = torch.randn(len(values), dtype=torch.float64)
    grad = torch.randn(ids // 6, 36, dtype=torch.float64)
    args = (grad, module.memory.detach(), values, offsets, weights, module.layout)
    torch.testing.assert_close(kernels.cpu().lookup_backward(*args), reference.lookup_backward(*args))


@needs_kernel
@pytest.mark.parametrize("way", WAYS)
def test_the_gradient_is_reproducible(way, threads):
    """Same input, same number of threads: same bits. Bins give the same at any number of threads, too."""
    ids, memory_size = WAYS[way]
    module = EmbeddingBagCollection([Table("t", 5000, 16)], Robe(2), memory_size=memory_size)
    indices, grad = torch.randint(0, 5000, (ids, 1)), torch.randn(ids, 16)
    results = {}
    for number in (2, 4, 8):
        threads(number)
        runs = [
            torch.ops.pocketrec.lookup_backward(grad, module.memory, indices, None, None, module.layout) for _ in "abc"
        ]
        assert all(torch.equal(runs[0], r) for r in runs[1:])
        results[number] = runs[0]
    if way != "copies":
        assert all(torch.equal(results[2], r) for r in results.values())


@needs_kernel
def test_adding_in_the_order_of_chance_would_be_noticed():
    """The test above can fail: another order of the same batch gives other bits."""
    module = EmbeddingBagCollection([Table("t", 5000, 16)], Robe(4), memory_size=4099)
    indices, grad, order = torch.randint(0, 5000, (4096, 1)), torch.randn(4096, 16), torch.randperm(4096)
    back = torch.ops.pocketrec.lookup_backward
    first = back(grad, module.memory, indices, None, None, module.layout)
    second = back(grad[order].contiguous(), module.memory, indices[order], None, None, module.layout)
    assert not torch.equal(first, second)
    torch.testing.assert_close(first, second)


def test_full_tables_have_the_same_gradient_at_any_number_of_threads(threads):
    module = collection("full", [Table("t", 5000, 16)])
    ids, (parameter,), grads = torch.randint(0, 5000, (4096, 1)), module.parameters(), []
    for number in (1, 2, 8):
        threads(number)
        out = module(ids)
        (grad,) = torch.autograd.grad(out, parameter, torch.sin(torch.arange(out.numel())).view_as(out).double())
        grads.append(grad.to_dense())
    assert all(torch.equal(grads[0], g) for g in grads[1:])


def test_reference_backward_is_deterministic():
    module = collection("robe", [Table("t", 5000, 16)], memory_size=97)
    ids, grad = torch.randint(0, 5000, (8192, 1)), torch.randn(8192, 16, dtype=torch.float64)
    runs = [reference.lookup_backward(grad, module.memory.detach(), ids, None, None, module.layout) for _ in range(5)]
    assert all(torch.equal(runs[0], r) for r in runs)


def test_compiles_without_graph_breaks():
    module = collection("robe", tables())
    ids = torch.zeros(6, 3, dtype=torch.int64)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(ids), module(ids))
    compiled(ids).sum().backward()
    grad = module.memory.grad.clone()
    module.memory.grad = None
    module(ids).sum().backward()
    torch.testing.assert_close(grad, module.memory.grad)


@pytest.mark.parametrize("offsets", [None, torch.zeros(1, dtype=torch.int64)])
def test_nothing_at_all_is_looked_up_as_nothing(offsets):
    module = collection("robe", tables())
    ids = torch.zeros((0, 3) if offsets is None else 0, dtype=torch.int64)
    out = ops.lookup(module.memory, ids, offsets, None, module.layout, 36)
    assert out.shape == (0, 36)
    out.sum().backward()
    assert not module.memory.grad.any()
    empty = torch.zeros(0, 20, dtype=torch.int64)
    none = torch.zeros(5, 0, dtype=torch.int64)
    assert ops.lookup(module.memory, none, None, None, empty, 0).shape == (5, 0)
    assert not torch.ops.pocketrec.lookup_backward(
        torch.zeros(5, 0).double(), module.memory, none, None, None, empty
    ).any()


def test_more_than_2_31_elements_are_read_and_added(threads):
    """One bag of 2^25 ids of 72 elements: a 32-bit position would overflow. Sums are exact powers of two."""
    threads(2)
    number = (1 << 25) + 8
    bag = EmbeddingBag(50, 72, mode="sum", memory_size=200, sharing=Robe(72), dtype=torch.float64)
    with torch.no_grad():
        bag.memory.fill_(0.5)
    out = bag(torch.full((number,), 7), torch.zeros(1, dtype=torch.int64))
    assert (out == number / 2).all()


@needs_kernel
@pytest.mark.parametrize("dim", [12, 10])
@pytest.mark.parametrize("chunk", [1, 4, 16])
def test_outputs_larger_than_the_caches_are_the_same(chunk, dim):
    """Above 8 MB rows are streamed past the caches; rows of 40 bytes cannot be, where they are not aligned."""
    features = [Table(f"t{i}", 500, dim, pooling="mean" if i % 3 else "sum") for i in range(26)]
    module = EmbeddingBagCollection(features, Robe(chunk, align=1), memory_size=4099)
    ids = torch.randint(0, 500, (9000, 26))
    assert ids.numel() * dim * 4 > 8 << 20
    expected = reference.lookup(module.memory.detach(), ids, None, None, module.layout, 26 * dim)
    assert torch.equal(module(ids).detach().view(9000, -1), expected)
    pairs = (ids.T.reshape(-1), torch.arange(0, ids.numel() + 1, 1))
    assert torch.equal(module(pairs).detach().view(9000, -1), expected)


@needs_kernel
@pytest.mark.parametrize("memory_size", [5003, 400_009])
@pytest.mark.parametrize("chunk", [1, 7])
def test_rows_of_many_chunks_and_batches_of_many_tiles(chunk, memory_size, threads):
    """More chunks than a segment holds, more runs than a tile."""
    threads(2)
    module = EmbeddingBagCollection([Table("t", 1000, 300)], Robe(chunk), memory_size=memory_size, dtype=torch.float64)
    ids = torch.randint(0, 1000, (2000, 1))
    out = module(ids)
    args = (ids, None, None, module.layout)
    torch.testing.assert_close(out.detach().view(2000, 300), reference.lookup(module.memory.detach(), *args, 300))
    grad = torch.randn(2000, 300, dtype=torch.float64)
    out.backward(grad.view(2000, 1, 300))
    torch.testing.assert_close(module.memory.grad, reference.lookup_backward(grad, module.memory.detach(), *args))


def test_materialise_is_a_function_of_the_memory():
    """The oracle itself: a table whose every row is a gather of the memory."""
    module = collection("robe", [Table("t", 7, 4)], memory_size=4)
    (virtual,) = materialise(module)
    assert set(virtual.detach().reshape(-1).tolist()) <= set(module.memory.tolist())


def test_an_install_without_the_kernel_says_so_once_and_works(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name.startswith("pocketrec._C") else find(name, *a)
    )
    kernels.cpu.cache_clear()
    try:
        with pytest.warns(UserWarning, match="without its C\\+\\+ kernel"):
            assert kernels.cpu() is None
        assert kernels.cpu() is None, "the second lookup is silent"
    finally:
        kernels.cpu.cache_clear()


def test_without_the_kernel_the_reference_serves_the_same_results():
    """What an install without a compiler runs; the environment variable asks for the same path."""
    code = (
        "import torch, pocketrec as p; from pocketrec import kernels; assert kernels.cpu() is None\n"
        "m = p.EmbeddingBag(100, 8, mode='sum', memory_size=64, sharing=p.Robe(4)); m.memory.data = torch.arange(64.)\n"
        "y = m(torch.tensor([[1, 99]])); y.sum().backward(); print(y.tolist(), m.memory.grad.sum().item())"
    )
    env = {"POCKETREC_KERNELS": "reference", "PATH": "/usr/bin:/bin"}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    from pocketrec import EmbeddingBag, Robe

    module = EmbeddingBag(100, 8, mode="sum", memory_size=64, sharing=Robe(4))
    module.memory.data = torch.arange(64.0)
    assert out.strip() == f"{module(torch.tensor([[1, 99]])).tolist()} 16.0"
