"""Memories of 16 and 8 bits: sums in float32, one rounding, and the same rows from every implementation."""

from __future__ import annotations

import copy

import pytest
import torch
from lookups import SCHEMES, random_bags

import pocketrec
from pocketrec import EmbeddingBag, EmbeddingBagCollection, Full, Robe, Table, kernels, ops, stored_bytes
from pocketrec.ops import reference

HASHED = [name for name in SCHEMES if name != "full"]
HALF = [torch.bfloat16, torch.float16]
needs_kernel = pytest.mark.skipif(kernels.cpu() is None, reason="no C++ kernel")


def tables(pooling):
    return [Table("a", 129, 12, pooling=pooling, padding_idx=3), Table("b", 40, 12, ("b1", "b2"), pooling=pooling)]


def case(scheme, pooling, dtype, samples=40):
    """A collection in `dtype`, the same memory in float64, bags and a gradient."""
    torch.manual_seed(0)
    module = EmbeddingBagCollection(tables(pooling), SCHEMES[scheme], memory_size=211, dtype=dtype, init=1.0)
    values, offsets = random_bags(module, samples)
    return module, module.memory.detach().double(), values, offsets, torch.randn(samples, 36).to(dtype)


@needs_kernel
@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("pooling", ["sum", "mean", "max"])
@pytest.mark.parametrize("scheme", HASHED)
def test_half_precision_is_the_exact_result_rounded_once(scheme, pooling, dtype):
    """A bag summed in half precision would be off by several roundings; sums of float32 are off by less than one."""
    module, exact, values, offsets, grad = case(scheme, pooling, dtype)
    layout = module.layout
    expected = reference.lookup(exact, values, offsets, None, layout, 36)
    out = kernels.cpu().lookup(module.memory.detach(), values, offsets, None, layout, 36)
    assert out.dtype == dtype
    one_rounding = torch.finfo(dtype).eps
    torch.testing.assert_close(out.double(), expected, rtol=one_rounding, atol=1e-5)
    expected = reference.lookup_backward(grad.double(), exact, values, offsets, None, layout)
    found = kernels.cpu().lookup_backward(grad, module.memory.detach(), values, offsets, None, layout)
    torch.testing.assert_close(found.double(), expected, rtol=one_rounding, atol=1e-5)


@needs_kernel
@pytest.mark.parametrize("dtype", HALF)
def test_half_precision_weights_and_rows_of_full_tables(dtype):
    module, exact, values, offsets, grad = case("robe", "sum", dtype)
    weights = torch.randn(len(values)).to(dtype)
    out = kernels.cpu().lookup(module.memory.detach(), values, offsets, weights, module.layout, 36)
    expected = reference.lookup(exact, values, offsets, weights.double(), module.layout, 36)
    torch.testing.assert_close(out.double(), expected, rtol=torch.finfo(dtype).eps, atol=1e-5)
    for_weights = kernels.cpu().lookup_backward_weights(grad, module.memory.detach(), values, offsets, module.layout)
    expected = reference.lookup_backward_weights(grad.double(), exact, values, offsets, module.layout)
    torch.testing.assert_close(for_weights.double(), expected, rtol=torch.finfo(dtype).eps, atol=1e-4)
    full = EmbeddingBagCollection([Table("t", 9, 4)], Full(), dtype=dtype)
    full(torch.tensor([[3], [3]])).sum().backward()
    (table,) = full.parameters()
    assert torch.equal(table.grad.to_dense()[3], torch.full((4,), 2.0, dtype=dtype))


def test_every_half_precision_value_is_read_as_it_is():
    """All 65,536 patterns: subnormals, infinities and NaN included."""
    for dtype in HALF:
        memory = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(dtype)
        module = EmbeddingBagCollection([Table("t", 2**16, 1)], Full(), dtype=dtype)
        ids = torch.arange(2**16)[:, None]
        out = ops.lookup(memory, ids, None, None, module.layout_d1, 1)
        assert torch.equal(out[:, 0].view(torch.int16), memory.view(torch.int16))
        weighted = ops.lookup(memory, ids, None, torch.ones(2**16, 1, dtype=dtype), module.layout_d1, 1)
        torch.testing.assert_close(weighted[:, 0], memory, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("scheme", HASHED)
@pytest.mark.parametrize("pooling", ["sum", "mean", "max"])
def test_int8_rows_are_the_scaled_steps(scheme, pooling):
    """Unaligned chunks span two scales; a wrong block would be off by far more than rounding."""
    torch.manual_seed(0)
    module = EmbeddingBagCollection(tables(pooling), SCHEMES[scheme], memory_size=211)
    with torch.no_grad():
        module.memory.mul_(torch.logspace(0, 3, module.memory.numel()))
    values, offsets = random_bags(module, 40)
    quantized, scales = ops.quantize(module.memory)
    steps = scales.repeat_interleave(64)[: len(quantized)]
    assert (quantized.dtype, len(scales)) == (torch.int8, -(-len(quantized) // 64))
    worth = quantized.float() * steps
    assert ((worth - module.memory).abs() <= steps / 2 * 1.001).all()
    expected = ops.lookup(worth, values, offsets, None, module.layout, 36)
    out = ops.lookup(quantized, values, offsets, None, module.layout, 36, scales=scales)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(reference.lookup(quantized, values, offsets, None, module.layout, 36, scales), expected)


def test_a_model_is_quantized_in_place_and_travels(tmp_path):
    torch.manual_seed(0)
    model = torch.nn.Sequential(EmbeddingBagCollection([Table("t", 1000, 16)], Robe(16), memory_size=640))
    trained = copy.deepcopy(model)
    ids = torch.randint(0, 1000, (50, 1))
    assert pocketrec.quantize_(model) is model
    torch.testing.assert_close(model(ids), trained(ids), rtol=0, atol=0.01 / 254 * 1.01)
    assert stored_bytes(model) == 640 + 4 * 10
    assert not list(model.parameters())
    assert "stored_bytes=680" in repr(model)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    other = pocketrec.quantize_(torch.nn.Sequential(EmbeddingBagCollection([Table("t", 1000, 16)], memory_size=640)))
    other.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert torch.equal(other(ids), model(ids))
    assert torch.equal(copy.deepcopy(model)(ids), model(ids))


def test_a_quantized_model_keeps_its_scales_and_refuses_other_weights():
    """`.half()` would round the scales; a float state, loaded loosely, would be truncated to int8."""
    trained = EmbeddingBagCollection([Table("t", 1000, 16)], Robe(16), memory_size=640)
    model = pocketrec.quantize_(copy.deepcopy(trained))
    ids = torch.randint(0, 1000, (50, 1))
    expected = model(ids)
    assert torch.equal(model.half()(ids), expected)
    with pytest.raises(RuntimeError, match="call quantize_ on a model that holds the float weights"):
        model.load_state_dict(trained.state_dict(), strict=False)
    with pytest.raises(ValueError, match="build the module anew"):
        model.reset_parameters()


def test_int8_bags_take_weights():
    bag = EmbeddingBag(100, 8, mode="sum", memory_size=200, sharing=Robe(8))
    pocketrec.quantize_(bag)
    ids, weights = torch.randint(0, 100, (5, 3)), torch.rand(5, 3)
    rows = bag(ids.reshape(-1, 1)).view(5, 3, 8)
    torch.testing.assert_close(bag(ids, per_sample_weights=weights), (rows * weights[:, :, None]).sum(1))


def test_a_memory_of_zeros_stays_zero():
    quantized, scales = ops.quantize(torch.zeros(65))
    assert not quantized.any()
    assert not scales.any()


MODULE = EmbeddingBagCollection([Table("t", 9, 2)], memory_size=9)
REFUSED = {
    "nothing to quantise": (lambda: pocketrec.quantize_(torch.nn.Linear(2, 2)), "holds no pocketrec embedding"),
    "full tables": (
        lambda: pocketrec.quantize_(EmbeddingBagCollection([Table("t", 9, 2)], Full())),
        "only shared memories",
    ),
    "twice": (lambda: pocketrec.quantize_(pocketrec.quantize_(copy.deepcopy(MODULE))), "in integers already"),
    "diverged": (lambda: ops.quantize(torch.tensor([1.0, float("nan")])), "infinities or NaN"),
    "integers": (lambda: ops.quantize(torch.zeros(3, dtype=torch.int8)), "floating-point"),
    "scales of another length": (
        lambda: ops.lookup(
            torch.zeros(9, dtype=torch.int8),
            torch.zeros(1, 1, dtype=torch.int64),
            None,
            None,
            MODULE.layout,
            2,
            scales=torch.zeros(2),
        ),
        r"shape \(1,\), one for 64 slots",
    ),
    "scales beside floats": (
        lambda: ops.lookup(
            torch.zeros(9), torch.zeros(1, 1, dtype=torch.int64), None, None, MODULE.layout, 2, scales=torch.zeros(1)
        ),
        "must be int8, got torch.float32",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_quantised_is_refused(name):
    call, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        call()
