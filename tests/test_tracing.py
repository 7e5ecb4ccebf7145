"""Eager calls go past the dispatcher; whoever watches, traces or transforms must still meet the registered op."""

from __future__ import annotations

import pytest
import torch
from lookups import random_bags
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from pocketrec import EmbeddingBagCollection, Full, Robe, Table, ops, optim

TABLES = [Table("a", 129, 8), Table("b", 40, 8, ("b1", "b2"))]
IDS = torch.tensor([[3, 1, 4], [128, 39, 0]])
KINDS = ("robe", "full", "fused")


def embeddings(kind, device=None):
    torch.manual_seed(0)
    sharing, budget = (Full(), {}) if kind == "full" else (Robe(4), {"memory_size": 211})
    module = EmbeddingBagCollection(TABLES, sharing, device=device, **budget)
    return module, optim.SGD(module) if kind == "fused" else None


@pytest.mark.parametrize("kind", KINDS)
def test_meta_tensors_give_shapes(kind):
    module, _fused = embeddings(kind, device="meta")
    assert module(IDS.to("meta")).shape == (2, 3, 8)


@pytest.mark.parametrize("kind", KINDS)
def test_fake_tensors_give_shapes(kind):
    module, _fused = embeddings(kind)
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert module(IDS).shape == (2, 3, 8)


@pytest.mark.parametrize("kind", KINDS)
def test_a_dispatch_mode_sees_the_op(kind):
    """Profilers, counters and selective checkpointing know ops by their names."""
    seen = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            seen.append(str(function))
            return function(*args, **(kwargs or {}))

    module, _fused = embeddings(kind)
    with Watch():
        module(IDS)
    assert "pocketrec.lookup.default" in seen


@pytest.mark.parametrize("kind", KINDS)
def test_traced_graphs_hold_the_op(kind):
    module, _fused = embeddings(kind)
    assert "pocketrec.lookup" in make_fx(module)(IDS).code


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_jit_traces(kind):
    module, _fused = embeddings(kind)
    with torch.no_grad():
        traced = torch.jit.trace(module, (IDS,), check_trace=False)
        assert torch.equal(traced(IDS.flip(0)), module(IDS.flip(0)))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own compiler does it
def test_full_tables_export_and_compile_for_inference():
    module, _ = embeddings("full")
    with torch.no_grad():
        exported = torch.export.export(module, (IDS,), strict=False).module()
        assert torch.equal(exported(IDS), module(IDS))
        compiled = torch.compile(module, fullgraph=True, backend="eager")
        assert torch.equal(compiled(IDS), module(IDS))


def test_vmap_over_memories():
    """An ensemble's members, stacked."""
    module, _ = embeddings("robe")
    memories = torch.stack([module.memory.detach(), module.memory.detach() + 1])
    together = torch.vmap(lambda memory: ops.lookup(memory, IDS, None, None, module.layout, 24))(memories)
    apart = [ops.lookup(memory, IDS, None, None, module.layout, 24) for memory in memories]
    assert torch.equal(together, torch.stack(apart))


@pytest.mark.parametrize("wanted", ["weights", "memory"])
def test_a_second_derivative_is_refused_even_if_the_loss_is_linear(wanted):
    """The first gradient then depends on the other factor only; leaving that out would be wrong without a word."""
    module, _ = embeddings("robe")
    values, offsets = random_bags(module, 5)
    weights = torch.rand(len(values), requires_grad=True)
    out = ops.lookup(module.memory, values, offsets, weights, module.layout, 24)
    factors = {"weights": weights, "memory": module.memory}
    (grad,) = torch.autograd.grad(out.sum(), factors[wanted], create_graph=True)
    with pytest.raises((NotImplementedError, RuntimeError), match="once"):
        (grad.pow(2).sum() + module.memory.sum()).backward()
