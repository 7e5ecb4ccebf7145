"""A memory trained as int8 will serve it: what lookups see, what training reaches, what is counted."""

from __future__ import annotations

import copy

import pytest
import torch

from pocketrec import (
    EmbeddingBag,
    EmbeddingBagCollection,
    Full,
    HashingTrick,
    QuotientRemainder,
    Robe,
    Table,
    full_bytes,
    ops,
    optim,
    quantize_,
    stored_bytes,
)


def collection(sharing=None, **options):
    tables = [Table("a", 3000, 8), Table("b", 2000, 8)]
    budget = {"compression": 10} | options
    return EmbeddingBagCollection(tables, sharing or Robe(8), dtype=torch.int8, **budget)


SHARINGS = (Robe(4, signed=True), HashingTrick(), QuotientRemainder("multiply"))


@pytest.mark.parametrize("sharing", SHARINGS)
def test_what_is_trained_is_what_int8_serves(sharing):
    """Bit for bit: a model must not change when its master is dropped."""
    module = collection(sharing, init=1.0)
    ids = torch.randint(0, 2000, (64, 2))
    trained, stored = module(ids).detach(), stored_bytes(module)
    served = quantize_(copy.deepcopy(module))
    assert served.memory.dtype == torch.int8
    assert torch.equal(served(ids), trained)
    assert stored_bytes(served) == stored
    assert not torch.equal(trained, collection(sharing, init=1.0)(ids)), "another draw gives other rows"


@pytest.mark.parametrize("budget", [{"compression": 10}, {"compression": 1000}, {"memory_bytes": 5000}])
def test_the_budget_is_that_of_int8(budget):
    """Nearly four times the slots of float32, the scales counted."""
    module = collection(**({"compression": None} | budget))
    limit = budget.get("memory_bytes") or full_bytes(module) / budget["compression"]
    assert limit - 68 < stored_bytes(module) <= limit
    slots = module.memory.numel()
    assert module.memory.dtype == torch.float32
    assert stored_bytes(module) == slots + 4 * -(-slots // 64)


def test_the_gradient_reaches_the_master_as_if_nothing_were_rounded():
    module, ids = collection(), torch.randint(0, 2000, (64, 2))
    grad = torch.randn(64, 2, 8)
    module(ids).backward(grad)
    plain = copy.deepcopy(module)
    plain.shadowed = False
    plain.zero_grad()
    plain(ids).backward(grad)
    assert torch.equal(module.memory.grad, plain.memory.grad)


@pytest.mark.parametrize("fused", [False, True])
def test_steps_smaller_than_int8_can_hold_add_up_in_the_master(fused):
    """Trained in int8 alone, a step below half of a unit is lost, every time."""
    bag = EmbeddingBag(100, 4, mode="sum", sharing=Robe(4), memory_size=64, dtype=torch.int8, init=1.0)
    optimizer = optim.SGD(bag, lr=1e-4) if fused else torch.optim.SGD(bag.parameters(), lr=1e-4)
    before, ids = bag.memory.detach().clone(), torch.arange(100)[:, None]
    seen = bag(ids).detach()
    for _ in range(300):
        optimizer.zero_grad()
        bag(ids).sum().backward()
        optimizer.step()
    assert (bag.memory < before - 0.01).any()
    assert (bag(ids) < seen - 0.01).any()


def test_full_tables_are_refused():
    with pytest.raises(ValueError, match="int8 is for shared memories"):
        EmbeddingBag(10, 4, sharing=Full(), dtype=torch.int8)


def test_the_shadow_compiles_and_rounds_as_quantize_does():
    memory = torch.randn(130, requires_grad=True)
    steps, scales = ops.quantize(memory)
    expected = steps.float() * scales.repeat_interleave(64)[:130]
    assert torch.equal(ops.shadow(memory), expected)
    assert torch.equal(torch.compile(ops.shadow, fullgraph=True, backend="aot_eager")(memory), expected)
