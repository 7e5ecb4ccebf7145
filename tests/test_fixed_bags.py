"""Ids (B, F, K), bags of K: on every kernel what the same bags are by offsets."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from lookups import SCHEMES, collection, tables

from pocketrec import EmbeddingBagCollection, HashingTrick, Robe, Table, kernels, ops, optim
from pocketrec.ops import reference

KERNELS = {"reference": lambda: reference, "cpp": kernels.cpu, "triton": kernels.gpu}
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(params=KERNELS)
def kernel(request):
    if request.param == "triton" and importlib.util.find_spec("triton") is None:
        pytest.skip("triton is not installed")
    found = KERNELS[request.param]()
    if found is None:
        pytest.skip("no C++ kernel")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "triton" and DEVICE == "cpu":
            patch.setattr("pocketrec.kernels.cuda.launch._TILE", 2048)
        yield found


def batch(scheme: str, pooling: str, samples: int, each: int):
    """Memory, layout and ids of three features, padding among them."""
    torch.manual_seed(samples)
    module = collection(scheme, tables(pooling, padding=3))
    (memory,), (layout,) = module.parameters(), module.buffers()
    ids = torch.stack([torch.randint(0, n, (samples, each)) for n in (129, 1, 1)], 1)
    return memory.detach(), layout, ids


def by_offsets(ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return ids.permute(1, 0, 2).reshape(-1), torch.arange(0, ids.numel() + 1, ids.shape[2])


@pytest.mark.parametrize("scheme", ["robe", "robe-1-signed", "robe-ragged", "robe-linear-signed", "full"])
@pytest.mark.parametrize("pooling", ["sum", "mean", "max"])
@pytest.mark.parametrize(("samples", "each"), [(0, 2), (40, 1), (41, 3)])
def test_the_same_rows_and_gradient_as_by_offsets(scheme, pooling, samples, each, kernel):
    """A bag that reads another's ids, or its gradient."""
    memory, layout, ids = batch(scheme, pooling, samples, each)
    grad = torch.randn(samples, 36, dtype=torch.float64)
    flat, offsets = by_offsets(ids)
    expected = reference.lookup(memory, flat, offsets, None, layout, 36)
    expected_grad = reference.lookup_backward(grad, memory, flat, offsets, None, layout)
    memory, layout, ids, grad = (t.to(DEVICE) for t in (memory, layout, ids, grad))
    torch.testing.assert_close(kernel.lookup(memory, ids, None, None, layout, 36).cpu(), expected)
    torch.testing.assert_close(kernel.lookup_backward(grad, memory, ids, None, None, layout).cpu(), expected_grad)


def test_the_same_weights_as_by_offsets(kernel):
    """A weight applied to another id; its gradient in another's place."""
    memory, layout, ids = batch("robe", "sum", 17, 2)
    weights, grad = torch.randn(ids.shape, dtype=torch.float64), torch.randn(17, 36, dtype=torch.float64)
    flat, offsets = by_offsets(ids)
    own = weights.permute(1, 0, 2).reshape(-1)
    expected = reference.lookup(memory, flat, offsets, own, layout, 36)
    expected_grad = reference.lookup_backward(grad, memory, flat, offsets, own, layout)
    for_weights = reference.lookup_backward_weights(grad, memory, flat, offsets, layout)
    memory, layout, ids, grad, weights = (t.to(DEVICE) for t in (memory, layout, ids, grad, weights))
    torch.testing.assert_close(kernel.lookup(memory, ids, None, weights, layout, 36).cpu(), expected)
    torch.testing.assert_close(kernel.lookup_backward(grad, memory, ids, None, weights, layout).cpu(), expected_grad)
    told = kernel.lookup_backward_weights(grad, memory, ids, None, layout).view(17, 3, 2).cpu()
    torch.testing.assert_close(told.permute(1, 0, 2).reshape(-1), for_weights)


@pytest.mark.parametrize("scheme", [s for s in SCHEMES if s != "full"])
def test_wide_outputs_are_the_same_bits(scheme):
    """Outputs that stream past the caches, and those that sums are kept in, on as many threads as there are."""
    torch.manual_seed(0)
    module = EmbeddingBagCollection([Table("t", 900, 640), Table("u", 900, 640)], SCHEMES[scheme], memory_size=70_000)
    for samples in (100, 2000):
        ids = torch.randint(0, 900, (samples, 2, 3))
        flat, offsets = by_offsets(ids)
        assert torch.equal(module.lookup(flat, offsets), ops.lookup(*args(module, ids)))


def args(module: EmbeddingBagCollection, ids: torch.Tensor):
    return module.memory, ids, None, None, module.layout, sum(module.dims)


def test_autograd_tracing_and_fused_steps_take_them():
    """The fake's shape, the op's registration, and the optimiser's own backward."""
    torch.manual_seed(0)
    ids = torch.randint(0, 50, (8, 2, 3))
    flat, offsets = by_offsets(ids)
    one, other = (EmbeddingBagCollection([Table("a", 50, 4), Table("b", 50, 4)], memory_size=100) for _ in range(2))
    other.load_state_dict(one.state_dict())
    torch.library.opcheck(torch.ops.pocketrec.lookup, args(one, ids))
    compiled = torch.compile(lambda x: ops.lookup(*args(one, x)), fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(ids), one.lookup(flat, offsets))
    steps = optim.SGD(one, lr=0.1), optim.SGD(other, lr=0.1)
    ops.lookup_deferred(*args(one, ids), "", one.waiting).pow(2).sum().backward()
    other.lookup(flat, offsets).pow(2).sum().backward()
    for step in steps:
        step.step()
    torch.testing.assert_close(one.memory, other.memory)


def test_a_bad_id_is_found_and_named():
    module = EmbeddingBagCollection([Table("a", 50, 4), Table("b", 50, 4)], HashingTrick(), memory_size=100)
    ids = torch.zeros(5, 2, 3, dtype=torch.int64)
    ids[3, 1, 2] = 50
    with pytest.raises(ValueError, match=r"feature 'b', sample 3: id 50 is outside \[0, 50\)"):
        ops.lookup(*args(module, ids), "a\nb")
    with pytest.raises(ValueError, match=r"ids must have shape \(B, 2\) or \(B, 2, K\).*got \(5, 2, 0\)"):
        ops.lookup(*args(module, ids[:, :, :0]))
    with pytest.raises(ValueError, match=r"per_sample_weights must have the shape of the ids"):
        ops.lookup(module.memory, ids, None, torch.ones(5, 2), module.layout, 8)


def test_modules_take_bags_by_offsets_only():
    """(B, F, K) is how schemes tell the op several terms; what a user means by it is not for the op to guess."""
    for scheme in (Robe(4), Robe(4, num_hashes=2)):
        module = EmbeddingBagCollection([Table("a", 50, 4), Table("b", 50, 4)], scheme, memory_size=100)
        with pytest.raises(ValueError, match=r"ids must have shape \(B, 2\), one column a feature, got \(5, 2, 3\)"):
            module(torch.zeros(5, 2, 3, dtype=torch.int64))
