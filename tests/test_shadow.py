"""A memory trained as int8 will serve it: what lookups see, what training reaches, what is counted."""

from __future__ import annotations

import copy

import pytest
import torch

from pocketrec import (
    Clustered,
    EmbeddingBag,
    EmbeddingBagCollection,
    Full,
    HashedNets,
    HashEmbeddings,
    HashingTrick,
    HotCold,
    LowRank,
    MixedDimensions,
    MultiHash,
    QuotientRemainder,
    Robe,
    Table,
    TensorTrain,
    full_bytes,
    ops,
    optim,
    quantize_,
    stored_bytes,
)


def collection(sharing=None, dtype=torch.int8, **options):
    tables = [Table("a", 3000, 8), Table("b", 2000, 8)]
    budget = {"compression": 10} | options
    return EmbeddingBagCollection(tables, sharing or Robe(8), dtype=dtype, **budget)


SHARINGS = (
    *(Robe(4, signed=True), Robe(4, num_hashes=2), HashedNets(), HashingTrick(), MultiHash(), HashEmbeddings()),
    *(QuotientRemainder("add"), QuotientRemainder("multiply"), LowRank(), MixedDimensions(), TensorTrain()),
    *(Clustered(columns=2), HotCold()),
)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int4])
@pytest.mark.parametrize("sharing", SHARINGS, ids=str)
def test_what_is_trained_is_what_integers_serve(sharing, dtype):
    """Bit for bit: a model must not change when its master is dropped."""
    module = collection(sharing, dtype, init=1.0).eval()  # maps that learn keep still
    ids = torch.randint(0, 2000, (64, 2))
    trained, stored = module(ids).detach(), stored_bytes(module)
    served = quantize_(copy.deepcopy(module)).eval()
    assert served.memory.dtype == torch.int8
    assert torch.equal(served(ids), trained)
    assert stored_bytes(served) == stored
    assert not torch.equal(trained, collection(sharing, dtype, init=1.0)(ids)), "another draw gives other rows"


@pytest.mark.parametrize(("dtype", "slot"), [(torch.int8, 1), (torch.int4, 0.5)])
@pytest.mark.parametrize("budget", [{"compression": 10}, {"compression": 1000}, {"memory_bytes": 5000}])
def test_the_budget_is_that_of_integers(dtype, slot, budget):
    """Nearly four or eight times the slots of float32, the scales counted."""
    module = collection(dtype=dtype, **({"compression": None} | budget))
    limit = budget.get("memory_bytes") or full_bytes(module) / budget["compression"]
    assert limit - 68 < stored_bytes(module) <= limit
    slots = module.memory.numel()
    assert module.memory.dtype == torch.float32
    assert stored_bytes(module) == slots * slot + 4 * -(-slots // 64)


@pytest.mark.parametrize("slots", [1, 64, 129])
def test_int4_is_stored_two_to_a_byte(slots, tmp_path):
    """What is counted is what a file holds; loaded, the rows are the same bits."""

    def build():
        bag = EmbeddingBag(50, 1, mode="sum", sharing=Robe(1), memory_size=slots, dtype=torch.int4, init=1.0)
        return quantize_(bag)

    bag, other, ids = build(), build(), torch.arange(50)[:, None]
    state = bag.state_dict()
    assert state["memory"].dtype == torch.uint8
    assert state["memory"].numel() + 4 * state["scales"].numel() == stored_bytes(bag)
    torch.save(state, tmp_path / "state.pt")
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(other(ids), bag(ids))
    assert bag.memory.dtype == torch.int8, "the module itself is as it was"
    with pytest.raises(RuntimeError, match="call quantize_"):
        EmbeddingBag(50, 1, sharing=Robe(1), memory_size=slots).load_state_dict(state)


def test_every_int4_survives_packing():
    steps = torch.arange(-8, 8, dtype=torch.int8)
    assert torch.equal(ops.unpack(ops.pack(steps), 16), steps)
    assert torch.equal(ops.unpack(ops.pack(steps[:15]), 15), steps[:15])


def test_a_float_model_can_be_served_in_four_bits_too():
    bag = EmbeddingBag(1000, 8, mode="sum", compression=10)
    assert stored_bytes(quantize_(bag, bits=4)) == ops.quantized_bytes(800, 4) == 400 + 4 * 13
    with pytest.raises(ValueError, match="8 or 4, got 5"):
        quantize_(EmbeddingBag(1000, 8, compression=10), bits=5)


def test_the_gradient_reaches_the_master_as_if_nothing_were_rounded():
    module, ids = collection(), torch.randint(0, 2000, (64, 2))
    grad = torch.randn(64, 2, 8)
    module(ids).backward(grad)
    plain = copy.deepcopy(module)
    plain.bits = None
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


@pytest.mark.parametrize("bits", [8, 4])
def test_the_shadow_compiles_and_rounds_as_quantize_does(bits):
    memory = torch.randn(130, requires_grad=True)
    steps, scales = ops.quantize(memory, bits)
    expected = steps.float() * scales.repeat_interleave(64)[:130]
    assert torch.equal(ops.shadow(memory, bits), expected)
    assert torch.equal(torch.compile(ops.shadow, fullgraph=True, backend="aot_eager")(memory, bits), expected)
    assert (ops.shadow(memory, bits) - memory).abs().max() <= scales.max() / 2
