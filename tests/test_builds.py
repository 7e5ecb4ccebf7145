"""The C++ kernel is built once for any processor and once for AVX2; both must be whole, and give the same bits."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch

from pocketrec import EmbeddingBagCollection, Robe, Table, kernels, ops

SKIP = torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512") or len(kernels.BUILDS) != 2
pytestmark = pytest.mark.skipif(SKIP or kernels.cpu() is None, reason="this machine has, or runs, one build only")


@pytest.fixture(scope="module")
def builds():
    """Both, side by side in one process: a namespace of ops each."""
    for extension in kernels.BUILDS:
        importlib.import_module(extension)
    return [getattr(torch.ops, namespace) for namespace in kernels.BUILDS.values()]


def test_every_object_of_a_build_has_its_instruction_set(builds):
    """Builds at once that share object files mix them: an old processor then meets AVX2 in the backward."""
    told = [(b.lookup_uses_avx2(torch.zeros(1)), b.backward_uses_avx2(torch.zeros(1))) for b in builds]
    assert told == [(True, True), (False, False)]
    assert kernels.cpu() is builds[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("chunk", "slots"), [(128, 2_000_003), (5, 4001)])
@pytest.mark.parametrize("pooling", ["sum", "max"])
def test_both_give_the_same_bits(builds, dtype, chunk, slots, pooling):
    """A contracted multiply-add, or a reordered sum, would make a model depend on the machine that serves it."""
    random = np.random.default_rng(0)  # torch's own draws follow the processor
    module = EmbeddingBagCollection([Table("t", 9999, 200, pooling=pooling)], Robe(chunk), memory_size=slots)
    ids = torch.from_numpy(random.integers(0, 9999, 1500))
    offsets = torch.arange(0, 1501, 3)
    memory, weights, grad = (torch.from_numpy(random.random(shape)).to(dtype) for shape in (slots, 1500, (500, 200)))
    args = (ids, offsets, weights if pooling == "sum" else None, module.layout)
    results = []
    for build in builds:
        updated, sums = memory.clone(), torch.zeros(slots, dtype=ops.reference.accumulator(dtype))
        constants = list(ops.Constants(0.1, 0.01, 1e-8))
        build.lookup_update_(grad, updated, None, sums, None, *args, int(ops.Update.ADAGRAD), constants)
        results.append(
            (
                build.lookup(memory, *args, 200, None),
                build.lookup_backward(grad, memory, *args),
                build.lookup_backward_rows(grad, memory, *args, 200),
                build.lookup_backward_weights(grad, memory, ids, offsets, module.layout),
                updated,
                sums,
            )
        )
    for new, old in zip(*results, strict=True):
        assert torch.equal(new, old)


def test_int8_gives_the_same_bits(builds):
    module = EmbeddingBagCollection([Table("t", 9999, 200)], Robe(32), memory_size=50_003)
    values, scales = ops.quantize(torch.from_numpy(np.random.default_rng(0).random(50_003, dtype=np.float32)))
    args = (values, torch.arange(1000).view(-1, 1), None, None, module.layout, 200, scales)
    assert torch.equal(builds[0].lookup(*args), builds[1].lookup(*args))
