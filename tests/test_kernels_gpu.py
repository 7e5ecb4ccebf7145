"""The Triton kernels against the reference and the materialised tables: in Triton's interpreter, or on a card."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lookups import SCHEMES, collection, pool, random_bags

from pocketrec import EmbeddingBagCollection, Robe, Table, hashing, kernels, optim
from pocketrec.ops import reference
from pocketrec.ops.layout import FeatureLayout, from_tensor
from pocketrec.sharing import PADDED

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
needs_card = pytest.mark.skipif(DEVICE == "cpu", reason="CUDA graphs and torch.compile's GPU path need a card")


@pytest.fixture(scope="module")
def gpu():
    """The kernels, several tiles to a program; in the interpreter, where programs cost the same at any size, larger."""
    module = kernels.gpu()
    assert module is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pocketrec.kernels.cuda.launch._PROGRAMS", 4)
        if DEVICE == "cpu":
            patch.setattr("pocketrec.kernels.cuda.launch._TILE", 2048)
        yield module


def on_device(*tensors):
    return [t.to(DEVICE) if isinstance(t, torch.Tensor) else t for t in tensors]


def tables(pooling: str = "sum", padding: int | None = None) -> list[Table]:
    return [
        Table("a", 129, 12, pooling=pooling, padding_idx=padding),
        Table("b", 1, 12, ("b1", "b2"), pooling=pooling),
    ]


def layout_of(full_tables: list[Table]) -> torch.Tensor:
    (layout,) = collection("full", full_tables).buffers()
    return layout


def one_id_batch(dtype=torch.float64, samples=40, dim=12, **options):
    """A signed ROBE memory, ids, layout and an output gradient."""
    torch.manual_seed(0)
    module = EmbeddingBagCollection([Table("a", 500, dim), Table("b", 9, dim)], Robe(4, **options), memory_size=211)
    memory = torch.randn(211, dtype=torch.float64).to(dtype)
    ids = torch.stack([torch.randint(0, 500, (samples,)), torch.randint(0, 9, (samples,))], 1)
    grad = torch.randn(samples, 2 * dim, dtype=torch.float64).to(dtype)
    return on_device(memory, ids, module.layout, grad)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("pooling", ["sum", "mean", "max"])
def test_bags_and_their_gradient_equal_the_materialised_tables(scheme, pooling, gpu):
    """A wrong hash, wrap, sign, pool, mask or empty bag; 129 samples end in a ragged tile."""
    torch.manual_seed(1)
    module = collection(scheme, tables(pooling, padding=3))
    values, offsets = random_bags(module, 129 if pooling == "sum" else 40, longest=3)
    (memory,), (layout,) = module.parameters(), module.buffers()
    expected = pool(module, values, offsets)
    grad = torch.randn_like(expected)
    (expected_grad,) = torch.autograd.grad(expected, memory, grad)
    memory, values, offsets, layout, grad = on_device(memory.detach(), values, offsets, layout, grad)
    gpu.check(memory, values, offsets, None, layout, 36)
    torch.testing.assert_close(gpu.lookup(memory, values, offsets, None, layout, 36).cpu(), expected.detach())
    torch.testing.assert_close(gpu.lookup_backward(grad, memory, values, offsets, None, layout).cpu(), expected_grad)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_weights_scale_rows_and_get_their_gradient(scheme, gpu):
    """A weight applied to the wrong row, or padding that leaks into a weight's gradient."""
    torch.manual_seed(2)
    module = collection(scheme, tables(padding=3))
    values, offsets = random_bags(module, 17)
    weights = torch.randn(len(values), dtype=torch.float64, requires_grad=True)
    (memory,), (layout,) = module.parameters(), module.buffers()
    expected = pool(module, values, offsets, weights)
    grad = torch.randn_like(expected)
    for_memory, for_weights = torch.autograd.grad(expected, (memory, weights), grad)
    args = on_device(memory.detach(), values, offsets, weights.detach(), layout)
    (grad,) = on_device(grad)
    torch.testing.assert_close(gpu.lookup(*args, 36).cpu(), expected.detach())
    torch.testing.assert_close(gpu.lookup_backward(grad, *args).cpu(), for_memory)
    without = [*args[:3], args[4]]
    torch.testing.assert_close(gpu.lookup_backward_weights(grad, *without).cpu(), for_weights)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("samples", [0, 1, 70])
def test_one_id_a_feature_equals_the_reference(scheme, samples, gpu):
    """The path without offsets: positions, tiles that end early, no samples at all."""
    module = collection(scheme, tables())
    (memory,), (layout,) = module.parameters(), module.buffers()
    ids = torch.stack([torch.randint(0, n, (samples,)) for n in (129, 1, 1)], 1)
    grad = torch.randn(samples, 36, dtype=torch.float64)
    expected = reference.lookup(memory.detach(), ids, None, None, layout, 36)
    expected_grad = reference.lookup_backward(grad, memory.detach(), ids, None, None, layout)
    memory, ids, layout, grad = on_device(memory.detach(), ids, layout, grad)
    gpu.check(memory, ids, None, None, layout, 36)
    assert torch.equal(gpu.lookup(memory, ids, None, None, layout, 36).cpu(), expected)
    torch.testing.assert_close(gpu.lookup_backward(grad, memory, ids, None, None, layout).cpu(), expected_grad)


@pytest.mark.parametrize("scheme", [name for name in SCHEMES if name != "full"])
def test_kernel_and_reference_read_the_same_slots(scheme, gpu):
    """Any bit of a hash that differs, up to the largest ids: every slot holds its own number."""
    module = collection(scheme, [Table("t", None, 10)], memory_size=1_000_003)
    (layout,) = module.buffers()
    limit = from_tensor(layout)[0].num_embeddings
    ids = torch.tensor([[0], [1], [2**31], [2**33 + 5], [limit // 2], [limit - 1]]).clamp(max=limit - 1)
    memory = torch.arange(module.memory.numel(), dtype=torch.float64) + 1
    expected = reference.lookup(memory, ids, None, None, layout, 10)
    assert torch.equal(gpu.lookup(*on_device(memory, ids, None, None, layout), 10).cpu(), expected)


SHAPES = {  # dim, chunk, align, memory_size: which of the three ways to cut lanes, and where rows and chunks end
    "vector lanes": (64, 16, 4, 4096),
    "vector lanes, wrapping": (32, 32, 8, 40),
    "one chunk, memory just fits": (48, 48, 1, 48),
    "one chunk, two blocks": (200, 200, 1, 777),
    "chunk of two blocks": (300, 256, 1, 777),
    "ragged chunks": (130, 7, 1, 777),
    "single elements": (24, 1, 1, 31),
    "aligned, odd memory": (64, 16, 4, 4099),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("signed", [False, True])
def test_every_way_to_cut_lanes(shape, signed, gpu):
    """A lane that crosses a chunk, a block, the end of the row or the end of the memory."""
    dim, chunk, align, memory_size = SHAPES[shape]
    sharing = Robe(chunk, signed=signed, align=align, hash="linear" if signed else "mixing")
    layout = EmbeddingBagCollection([Table("t", 1000, dim)], sharing, memory_size=memory_size).layout
    memory, ids = torch.randn(memory_size, dtype=torch.float64), torch.randint(0, 1000, (9, 1))
    grad = torch.randn(9, dim, dtype=torch.float64)
    expected = reference.lookup(memory, ids, None, None, layout, dim)
    expected_grad = reference.lookup_backward(grad, memory, ids, None, None, layout)
    memory, ids, layout, grad = on_device(memory, ids, layout, grad)
    gpu.check(memory, ids, None, None, layout, dim)
    assert torch.equal(gpu.lookup(memory, ids, None, None, layout, dim).cpu(), expected)
    torch.testing.assert_close(gpu.lookup_backward(grad, memory, ids, None, None, layout).cpu(), expected_grad)


def test_features_of_different_widths_and_chunks(gpu):
    """A column, dim or chunk taken from a neighbour's row of the layout; a feature wider than a block."""
    sizes = [(3, 2), (40, 16), (150, 64), (1, 1)]
    features, column = [], 0
    for number, (dim, chunk) in enumerate(sizes):
        key = hashing.mixing_key(5, number)
        features.append(FeatureLayout(1, 50, -1, dim, column, 0, 10, 400, chunk, 1, 400, number % 2, key))
        column += dim
    layout = torch.tensor(features)
    memory, ids = torch.randn(410, dtype=torch.float64), torch.randint(0, 50, (5, 4))
    grad = torch.randn(5, column, dtype=torch.float64)
    args = on_device(memory, ids, None, None, layout)
    gpu.check(*args, column)
    expected = reference.lookup(memory, ids, None, None, layout, column)
    assert torch.equal(gpu.lookup(*args, column).cpu(), expected)
    torch.testing.assert_close(
        gpu.lookup_backward(*on_device(grad), *args).cpu(),
        reference.lookup_backward(grad, memory, ids, None, None, layout),
    )


@pytest.mark.parametrize(("chunk", "dim", "sign"), [(4, 16, 0), (5, 12, 1), (1, 6, 2), (16, 8, 0)])
@pytest.mark.parametrize("mode", [0, 1, 2])
def test_rows_of_their_own_and_padding_outside_the_table(chunk, dim, sign, mode, gpu):
    """Ids below `exact` lie before the region, unsigned by chunk, and never wrap; padding may be any id."""
    features = [
        FeatureLayout(
            1, 300, PADDED, dim, f * dim, mode, 200, 150, min(chunk, dim), 1, 150, sign, hashing.mixing_key(1, f),
            sign_0=5, sign_1=77, sign_2=991, exact=9 + f, exact_base=4 * f,
        )
        for f in range(2)
    ]  # fmt: skip
    ids, offsets = torch.randint(0, 300, (60,)), torch.tensor([0, 3, 3, 9, 20, 35, 60, 60, 60])
    ids[::3], ids[5:7] = torch.randint(0, 11, (20,)), PADDED
    weights = torch.rand(60, dtype=torch.float64) if mode == 0 else None
    args = (torch.randn(360, dtype=torch.float64), ids, offsets, weights, torch.tensor(features))
    gpu.check(*on_device(*args), 2 * dim)
    expected = reference.lookup(*args, 2 * dim)
    torch.testing.assert_close(gpu.lookup(*on_device(*args), 2 * dim).cpu(), expected)
    grad = torch.randn_like(expected)
    own = gpu.lookup_backward(*on_device(grad, *args))
    torch.testing.assert_close(own.cpu(), reference.lookup_backward(grad, *args))
    kernel = kernels.cpu()
    if kernel is not None:
        torch.testing.assert_close(kernel.lookup(*args, 2 * dim, None), expected)
        torch.testing.assert_close(kernel.lookup_backward(grad, *args), reference.lookup_backward(grad, *args))


@pytest.mark.parametrize("pooling", ["sum", "mean", "max"])
def test_gradients_of_rows(pooling, gpu):
    """The row-sparse gradient of full tables: factors, winners, padding."""
    module = collection("full", tables(pooling, padding=3))
    (memory,), (layout,) = module.parameters(), module.buffers()
    values, offsets = random_bags(module, 30)
    args = (torch.randn(30, 36, dtype=torch.float64), memory.detach(), values, offsets, None, layout)
    own = gpu.lookup_backward_rows(*on_device(*args), 12)
    torch.testing.assert_close(own.cpu(), reference.lookup_backward_rows(*args, 12))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_lower_precisions_round_once(dtype, gpu):
    """Sums kept in the memory's own half precision, or a result of another dtype."""
    memory, ids, layout, grad = one_id_batch(dtype)
    flat, offsets = ids.T.reshape(-1), torch.arange(0, 81, 20, device=DEVICE)  # bags of 20
    out = gpu.lookup(memory, flat, offsets, None, layout, 24)
    assert out.dtype == dtype
    exact = reference.lookup(*(t.cpu() for t in (memory.double(), flat, offsets)), None, layout.cpu(), 24)
    unit = torch.finfo(dtype).eps
    torch.testing.assert_close(out.cpu().double(), exact, rtol=unit, atol=20 * torch.finfo(torch.float32).eps)
    own = gpu.lookup_backward(grad, memory, ids, None, None, layout)
    assert own.dtype == dtype
    exact = reference.lookup_backward(grad.cpu().double(), memory.cpu().double(), ids.cpu(), None, None, layout.cpu())
    torch.testing.assert_close(own.cpu().double(), exact, rtol=unit, atol=1e-9)


@pytest.mark.parametrize("align", [1, 4])
def test_int8_memory_is_scaled_by_blocks_of_64_slots(align, gpu):
    """A chunk that spans two blocks and takes one scale for both."""
    _, ids, layout, _ = one_id_batch(align=align)
    memory, scales = torch.randint(-127, 128, (211,), dtype=torch.int8), torch.rand(4)
    exact = memory.float() * scales.repeat_interleave(64)[:211]
    expected = reference.lookup(exact, ids.cpu(), None, None, layout.cpu(), 24)
    memory, scales = on_device(memory, scales)
    out = gpu.lookup(memory, ids, None, None, layout, 24, scales)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out.cpu(), expected)


def test_rows_that_do_not_count_leave_no_trace_and_nan_wins(gpu):
    """0 times infinity from padding, losers of a maximum or a padded weight; a NaN that a maximum hides."""
    memory = torch.tensor([[1.0, 2.0], [0.5, -torch.inf], [torch.inf, torch.nan]], dtype=torch.float64)
    (memory,) = on_device(memory)
    for pooling in ("sum", "mean", "max"):
        layout = layout_of([Table("t", 3, 2, pooling=pooling, padding_idx=2)])
        ids, offsets, layout = on_device(torch.tensor([2, 0, 2]), torch.tensor([0, 3]), layout)
        assert gpu.lookup(memory, ids, offsets, None, layout, 2).tolist() == [[1.0, 2.0]]
        if pooling == "sum":
            weights = torch.tensor([torch.inf, 1.0, torch.nan], dtype=torch.float64, device=DEVICE)
            assert gpu.lookup(memory, ids, offsets, weights, layout, 2).tolist() == [[1.0, 2.0]]
    layout = layout_of([Table("t", 3, 2, pooling="max")])
    for order in ([2, 0, 1], [0, 2, 1], [0, 1, 2]):
        ids, offsets, layout = on_device(torch.tensor(order), torch.tensor([0, 3]), layout)
        out = gpu.lookup(memory, ids, offsets, None, layout, 2).cpu()
        assert out[0, 0] == torch.inf
        assert out[0, 1].isnan()


def test_the_first_of_ties_gets_the_gradient(gpu):
    """A maximum whose gradient goes to the last, or to all, of equal rows."""
    layout = layout_of([Table("t", 3, 2, pooling="max")])
    args = on_device(torch.tensor([1, 0, 2, 1]), torch.tensor([0, 4]), None, layout)
    memory, grad = on_device(torch.ones(3, 2), torch.tensor([[5.0, 7.0]]))
    assert gpu.lookup_backward(grad, memory, *args).tolist() == [[0, 0], [5, 7], [0, 0]]


def test_same_bits_in_any_order_of_samples(gpu):
    """A sum that rounds in the order in which threads arrive."""
    memory, ids, layout, grad = one_id_batch(torch.float32, samples=300)
    grad *= torch.logspace(-6, 6, 300, device=DEVICE)[:, None]
    order = torch.randperm(300, device=DEVICE)
    once = gpu.lookup_backward(grad, memory, ids, None, None, layout)
    assert torch.equal(once, gpu.lookup_backward(grad, memory, ids, None, None, layout))
    shuffled = gpu.lookup_backward(grad[order].contiguous(), memory, ids[order].contiguous(), None, None, layout)
    assert torch.equal(once, shuffled)


@pytest.mark.parametrize("size", [1e-250, 1e-30, 1e30, 1e300])
def test_the_quantum_follows_the_gradient(size, gpu):
    """A fixed scale: tiny gradients that vanish, large ones that overflow."""
    memory, ids, layout, grad = one_id_batch()
    args = (memory, ids, None, None, layout)
    unit = gpu.lookup_backward(grad, *args)
    torch.testing.assert_close(gpu.lookup_backward(grad * size, *args) / size, unit, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_zero_and_non_finite_gradients(dtype, gpu):
    """A zero gradient divided by itself; an infinity that turns into a plausible number."""
    memory, ids, layout, grad = one_id_batch(dtype)
    args = (memory, ids, None, None, layout)
    assert not gpu.lookup_backward(torch.zeros_like(grad), *args).any()
    for bad in (torch.inf, -torch.inf, torch.nan):
        grad[3, 5] = bad
        assert gpu.lookup_backward(grad, *args).isnan().all()


RULES = {
    "sgd": (0, torch.optim.SGD, {}),
    "adagrad": (1, torch.optim.Adagrad, {"eps": 1e-8}),
    "adam": (2, torch.optim.Adam, {"betas": (0.8, 0.99), "eps": 1e-7}),
}


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_update_equals_backward_and_torchs_optimiser(rule, decay, dtype, gpu):
    """A formula that differs from torch's; scratch that is not left zero, seen in the second and third step."""
    memory, ids, layout, grad = one_id_batch(dtype)
    number, optimiser, options = RULES[rule]
    expected = torch.nn.Parameter(memory.clone())
    theirs = optimiser([expected], lr=0.05, weight_decay=decay, **options)
    first, second, scratch = torch.zeros_like(memory), torch.zeros_like(memory), gpu.new_scratch(memory)
    beta1, beta2 = options.get("betas", (0.9, 0.999))
    for step in (1, 2, 3):
        expected.grad = gpu.lookup_backward(grad, expected.detach(), ids, None, None, layout)
        theirs.step()
        constants = [0.05, decay, options.get("eps", 0.0), beta1, beta2, 1 - beta1**step, 1 - beta2**step]
        if step == 2:
            constants = torch.tensor(constants, dtype=torch.float64, device=DEVICE)
        gpu.lookup_update_(grad, memory, scratch, first, second, ids, None, None, layout, number, constants)
        assert not scratch.any()
        torch.testing.assert_close(memory, expected.detach())


def test_update_keeps_half_memories_states_in_float32(gpu):
    """States rounded to the memory's dtype: in bfloat16 an exp_avg_sq of 0.001 g^2 would stall."""
    memory, ids, layout, grad = one_id_batch(torch.bfloat16)
    first, second = torch.zeros(211, device=DEVICE), torch.zeros(211, device=DEVICE)
    exact = torch.nn.Parameter(memory.float())
    exact.grad = gpu.lookup_backward(grad.float(), memory.float(), ids, None, None, layout)
    torch.optim.Adam([exact], lr=0.05).step()
    constants = [0.05, 0.0, 1e-8, 0.9, 0.999, 1 - 0.9, 1 - 0.999]
    scratch = gpu.new_scratch(memory)
    gpu.lookup_update_(grad, memory, scratch, first, second, ids, None, None, layout, 2, constants)
    # One unit in the last place: the interpreter truncates to bfloat16, where a card rounds to nearest.
    torch.testing.assert_close(memory.float(), exact.detach(), rtol=2**-7, atol=1e-6)
    torch.testing.assert_close(first, 0.1 * exact.grad, rtol=1e-5, atol=1e-6)


BAD = {
    "negative id": {"indices": [0, -1, 0]},
    "id too large": {"indices": [129, 0, 0]},
    "offsets fall": {"offsets": [0, 2, 1, 3]},
    "offsets start late": {"offsets": [1, 2, 2, 3]},
    "offsets end early": {"offsets": [0, 1, 1, 2]},
    "short memory": {"memory": 100},
    "columns do not fill the width": {"width": 37},
    "an unknown rule": {"layout": ("rule", 3)},
    "a table larger than its places": {"layout": ("rule", 0)},
    "starts past the region": {"layout": ("align", 2)},
}


@pytest.fixture
def served(gpu, monkeypatch):
    """The public API served by these kernels; without a card, CPU tensors are sent to them."""
    monkeypatch.setattr(kernels, "cpu", lambda: gpu)


def test_modules_train_through_the_dispatch(served):
    """What a user on CUDA runs: module, autograd, fused optimiser; against the reference's own."""
    bags, trained = None, []
    for fused in (False, True):
        module = collection("robe", tables("mean", padding=3), device=DEVICE)
        with torch.no_grad():
            module.memory.copy_(torch.linspace(-1, 1, 211))
        torch.manual_seed(0)
        bags = bags or random_bags(module, 20)
        optimizer = optim.Adagrad(module, lr=0.1) if fused else torch.optim.Adagrad(module.parameters(), lr=0.1)
        for step in range(2):
            optimizer.zero_grad()
            out = module(tuple(on_device(*bags)))
            out.backward(torch.sin(torch.arange(out.numel()) + step).view_as(out).to(out))
            optimizer.step()
        trained.append(module.memory.detach().cpu())
    torch.testing.assert_close(*trained)
    plain = collection("robe", tables("mean", padding=3))
    assert not torch.equal(trained[0], plain.memory.detach())


def test_the_op_compiles_in_one_graph_over_these_kernels(served):
    module = collection("robe", tables(), device=DEVICE)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    ids = on_device(torch.zeros(6, 3, dtype=torch.int64))[0]
    torch.testing.assert_close(compiled(ids), module(ids))
    compiled(ids).sum().backward()
    compiled_grad, module.memory.grad = module.memory.grad, None
    module(ids).sum().backward()
    assert torch.equal(compiled_grad, module.memory.grad)


@pytest.mark.skipif(DEVICE != "cpu", reason="on a card a failed check ends the process's use of it")
@pytest.mark.parametrize("case", BAD)
def test_check_finds_what_the_host_cannot_see(case, gpu):
    """Each rule on values, and that lookups with such values stay inside the memory."""
    module = collection("robe", tables())
    change = BAD[case]
    memory = module.memory.detach()[: change.get("memory", 211)].contiguous()
    indices, offsets = torch.tensor(change.get("indices", [0, 0, 0])), torch.tensor(change.get("offsets", [0, 1, 2, 3]))
    layout = module.layout.clone()
    if "layout" in change:
        field, value = change["layout"]
        layout[1, FeatureLayout._fields.index(field)] = value
        layout[1, FeatureLayout._fields.index("num_embeddings")] = 10**6
    with pytest.raises(RuntimeError, match="pocketrec: an id outside"):
        gpu.check(memory, indices, offsets, None, layout, change.get("width", 36))
    if "indices" in change or "offsets" in change:
        out = gpu.lookup(memory, indices, offsets, None, layout, 36)
        assert out.isfinite().all()


def test_check_looks_at_the_layout_without_samples_and_at_weights(gpu):
    """No tile, no check; weights with a mean."""
    module = collection("robe", tables("mean"))
    memory, layout = on_device(module.memory.detach(), module.layout)
    none = torch.empty(0, dtype=torch.int64, device=DEVICE)
    gpu.check(memory, none, torch.zeros(1, dtype=torch.int64, device=DEVICE), None, layout, 36)
    if DEVICE == "cpu":
        with pytest.raises(RuntimeError, match="pocketrec"):
            gpu.check(memory, torch.zeros(1, 3, dtype=torch.int64), None, memory, layout, 36)


def test_without_triton_it_warns_once(monkeypatch):
    """A silent fall to the slow path, or a warning at every lookup."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None)
    kernels.gpu.cache_clear()
    try:
        with pytest.warns(UserWarning, match="triton is not installed"):
            assert kernels.gpu() is None
        assert kernels.gpu() is None
    finally:
        kernels.gpu.cache_clear()


def test_kernels_compile_for_hopper(tmp_path):
    """What the interpreter accepts and the compiler refuses; accesses that should be 16 bytes wide and are not."""
    tests = Path(__file__).parent
    env = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    env |= {"TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(tests.parent)}
    done = subprocess.run(
        [sys.executable, tests / "compile_kernels.py"], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for kernel in ("_lookup_forward_kernel", "_from_quanta_kernel", "_update_kernel"):
        lines = [line for line in done.stdout.splitlines() if line.startswith(kernel)]
        assert lines
        assert not any(" 0 of 16 bytes" in line for line in lines), lines


@needs_card
def test_a_step_is_captured_in_a_cuda_graph(gpu):
    """Any wait for the device between check, forward, backward and update; constants frozen at capture."""
    memory, ids, layout, grad = one_id_batch(torch.float32, samples=200)
    scratch, plain = gpu.new_scratch(memory), memory.clone()
    constants = torch.tensor([0.1, 0, 0, 0, 0, 1, 1], dtype=torch.float64, device=DEVICE)

    def step(target):
        gpu.check(target, ids, None, None, layout, 24)
        out = gpu.lookup(target, ids, None, None, layout, 24)
        own = gpu.lookup_backward(grad, target, ids, None, None, layout)
        gpu.lookup_update_(grad, target, scratch, None, None, ids, None, None, layout, 0, constants)
        return out, own

    step(memory.clone())
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step(memory)
    for rate in (0.1, 0.02):
        constants[0] = rate
        graph.replay()
        expected = step(plain)
        assert torch.equal(memory, plain)
        assert all(torch.equal(a, b) for a, b in zip(captured, expected, strict=True))


@needs_card
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
def test_nothing_waits_for_the_device(gpu):
    """A hidden .item(), .tolist() or copy to the host."""
    memory, ids, layout, grad = one_id_batch(torch.float32)
    torch.cuda.set_sync_debug_mode("error")
    try:
        gpu.check(memory, ids, None, None, layout, 24)
        gpu.lookup(memory, ids, None, None, layout, 24)
        gpu.lookup_backward(grad, memory, ids, None, None, layout)
        constants = [0.1, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]
        scratch = gpu.new_scratch(memory)
        gpu.lookup_update_(grad, memory, scratch, None, None, ids, None, None, layout, 0, constants)
    finally:
        torch.cuda.set_sync_debug_mode("default")
