"""Fused optimisers: the same steps as torch.optim's, a state that travels, and refusals where fusing would be wrong."""

from __future__ import annotations

import copy
import gc
import pickle

import pytest
import torch
from lookups import random_bags
from torch import nn

import pocketrec
from pocketrec import EmbeddingBagCollection, Full, HashingTrick, Robe, Table, optim

RULES = {
    "sgd": (optim.SGD, torch.optim.SGD, {"lr": 0.5}),
    "sgd-decay": (optim.SGD, torch.optim.SGD, {"lr": 0.5, "weight_decay": 0.1}),
    "adagrad": (optim.Adagrad, torch.optim.Adagrad, {"lr": 0.05, "eps": 1e-8}),
    "adagrad-decay": (optim.Adagrad, torch.optim.Adagrad, {"lr": 0.05, "weight_decay": 0.1}),
    "adam": (optim.Adam, torch.optim.Adam, {"lr": 0.01}),
    "adam-decay": (optim.Adam, torch.optim.Adam, {"lr": 0.01, "betas": (0.8, 0.9), "weight_decay": 0.1}),
}
TABLES = [Table("a", 129, 12), Table("b", 40, 12, ("b1", "b2"))]
POOLED = {
    "sum": TABLES,
    "mean with padding": [Table("a", 129, 12, pooling="mean", padding_idx=3), Table("b", 40, 12, ("b1", "b2"))],
    "max": [Table("a", 129, 12, pooling="max"), Table("b", 40, 12, ("b1", "b2"), pooling="max")],
}


def collection(sharing=None, tables=TABLES, dtype=torch.float64, memory_size=1000):
    torch.manual_seed(0)
    return EmbeddingBagCollection(tables, sharing or Robe(4), memory_size=memory_size, dtype=dtype)


def train(module, optimizer, steps=4, lookups=1):
    """Random bags, random gradients; `lookups` a step."""
    torch.manual_seed(1)
    for _ in range(steps):
        optimizer.zero_grad()
        for _ in range(lookups):
            out = module(random_bags(module, 17))
            out.backward(torch.randn(out.shape, dtype=torch.float64).to(out.dtype))
        optimizer.step()
    return module.memory.detach()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "sharing", [Robe(4), Robe(1, signed=True), Robe(5, hash="linear", signed=True), HashingTrick()]
)
def test_steps_equal_torchs(rule, sharing):
    """Catches a wrong formula, a slot stepped twice or not at all, a gradient left over from the step before."""
    fused, torchs, options = RULES[rule]
    ours, theirs = collection(sharing), collection(sharing)
    trained = train(ours, fused(ours, **options))
    torch.testing.assert_close(trained, train(theirs, torchs(theirs.parameters(), **options)))
    assert ours.memory.grad is None, "the gradient never leaves the kernel"


@pytest.mark.parametrize("tables", POOLED.values(), ids=POOLED)
def test_every_pooling_is_stepped(tables):
    ours, theirs = collection(tables=tables), collection(tables=tables)
    torch.testing.assert_close(
        train(ours, optim.Adagrad(ours)), train(theirs, torch.optim.Adagrad(theirs.parameters()))
    )


@pytest.mark.parametrize("rule", ["sgd", "adagrad", "adam"])
def test_several_lookups_and_accumulated_gradients_meet_before_the_step(rule):
    fused, torchs, options = RULES[rule]
    ours, theirs = collection(), collection()
    torch.testing.assert_close(
        train(ours, fused(ours, **options), lookups=3), train(theirs, torchs(theirs.parameters(), **options), lookups=3)
    )


# Batches large enough to be shared out among threads: added in copies of a small memory, in bins of a large one.
WAYS = {"copies": 4099, "bins": 300_007}


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("number", [1, 2, 8])
@pytest.mark.parametrize("memory_size", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("tables", POOLED.values(), ids=POOLED)
@pytest.mark.parametrize("rule", ["sgd", "adagrad", "adam"])
def test_large_batches_equal_torchs_at_any_number_of_threads(rule, tables, memory_size, number, threads):
    """Catches slots stepped before all of their gradient is there, and maxima read from half-stepped memory."""
    threads(number)
    fused, torchs, options = RULES[rule]
    ours, theirs = (collection(Robe(3), tables, memory_size=memory_size) for _ in range(2))
    one, two = fused(ours, **options), torchs(theirs.parameters(), **options)
    for step in range(2):
        torch.manual_seed(step)
        bags, grad = random_bags(ours, 700), torch.randn(700, 3, 12, dtype=torch.float64)
        for module, optimizer in ((ours, one), (theirs, two)):
            optimizer.zero_grad()
            module(bags).backward(grad)
            optimizer.step()
    torch.testing.assert_close(ours.memory, theirs.memory)


@pytest.mark.parametrize("memory_size", WAYS.values(), ids=WAYS)
def test_a_step_is_reproducible(memory_size, threads):
    """Same input, same number of threads: same bits; in bins, at any number of threads."""
    results = {}
    for number in (2, 2, 4):
        threads(number)
        module = collection(memory_size=memory_size, dtype=torch.float32)
        optimizer = optim.Adagrad(module)
        torch.manual_seed(1)
        out = module(random_bags(module, 700))
        out.backward(torch.randn(out.shape))
        optimizer.step()
        assert torch.equal(results.setdefault(number, module.memory), module.memory)
    if memory_size == WAYS["bins"]:
        assert torch.equal(results[2], results[4])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rule", ["sgd", "adagrad", "adam"])
def test_half_precision_memories_round_once_a_step(dtype, rule):
    """Within one rounding of a float32 memory that starts each step from the same weights."""
    fused, torchs, options = RULES[rule]
    half, single = collection(dtype=dtype), collection(dtype=torch.float32)
    half_optimizer, single_optimizer = fused(half, **options), torchs(single.parameters(), **options)
    for step in range(4):
        with torch.no_grad():
            single.memory.copy_(half.memory)
        torch.manual_seed(step)
        bags = random_bags(half, 17)
        grad = torch.randn(17, 3, 12).to(dtype)
        for module, optimizer in ((half, half_optimizer), (single, single_optimizer)):
            optimizer.zero_grad()
            module(bags).backward(grad.to(module.memory.dtype))
            optimizer.step()
        torch.testing.assert_close(half.memory.float(), single.memory.detach().to(dtype).float(), rtol=2**-7, atol=1e-6)
    assert all(v.dtype == torch.float32 for v in half_optimizer.state[half.memory].values())


def test_slots_that_no_id_reads_stay_as_they_are():
    """SGD and Adagrad pass over blocks of slots that a batch does not touch; Adam and weight decay must not."""
    module = EmbeddingBagCollection([Table("t", 1000, 8)], Robe(8), memory_size=100_000)
    before = module.memory.detach().clone()
    optimizer = optim.Adagrad(module, lr=0.1)
    module(torch.tensor([[5]])).sum().backward()
    optimizer.step()
    assert (module.memory != before).sum() == 8
    decayed = optim.SGD(module, lr=0.1, weight_decay=0.5)  # takes over from the first
    module(torch.tensor([[5]])).sum().backward()
    decayed.step()
    assert (module.memory != before).all()


@pytest.mark.parametrize("rule", ["adagrad", "adam"])
def test_state_goes_from_torch_to_ours_and_back(rule):
    fused, torchs, options = RULES[rule]
    ours, theirs = collection(), collection()
    first, second = fused(ours, **options), torchs(theirs.parameters(), **options)
    train(ours, first)
    train(theirs, second)
    swapped_ours, swapped_theirs = fused(ours, **options), torchs(theirs.parameters(), **options)
    swapped_ours.load_state_dict(second.state_dict())
    groups = swapped_theirs.state_dict()["param_groups"]  # torch's has options that ours lacks
    swapped_theirs.load_state_dict({"state": first.state_dict()["state"], "param_groups": groups})
    assert set(first.state_dict()["state"][0]) == set(second.state_dict()["state"][0])
    torch.testing.assert_close(train(ours, swapped_ours), train(theirs, swapped_theirs))


def test_a_resumed_half_precision_run_is_the_same_to_the_bit():
    """torch would round the float32 sums to the memory's type on loading."""
    module = collection(dtype=torch.bfloat16)
    optimizer = optim.Adagrad(module)
    train(module, optimizer)
    resumed = copy.deepcopy(module)
    second = optim.Adagrad(resumed)
    second.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert torch.equal(train(module, optimizer), train(resumed, second))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_several_lookups_in_half_precision_are_rounded_once(dtype):
    """300 gradients of 1 are 300; rounded one by one in bfloat16 they would stop at 256."""
    module = EmbeddingBagCollection([Table("t", 9, 4)], Robe(4), memory_size=4, dtype=dtype)
    with torch.no_grad():
        module.memory.zero_()
    optimizer = optim.SGD(module, lr=1.0)
    for _ in range(300):
        module(torch.tensor([[3]])).sum().backward()
    optimizer.step()
    assert torch.equal(module.memory, torch.full((4,), -300.0).to(dtype))


def test_a_batch_changed_before_its_step_is_refused():
    """The step would read the new ids under the old gradient."""
    module = collection()
    optimizer = optim.SGD(module)
    ids = torch.zeros(5, 3, dtype=torch.int64)
    module(ids).sum().backward()
    ids.fill_(1)
    with pytest.raises(ValueError, match="changed in place"):
        optimizer.step()
    module(ids).sum().backward()
    optimizer.step()


def test_a_graph_from_before_a_step_is_refused_after_it():
    """As torch's optimisers: the maximum's winners belong to the old weights."""
    module = collection(tables=POOLED["max"])
    optimizer = optim.SGD(module)
    bags = random_bags(module, 5)
    loss = module(bags).sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_newer_optimizer_takes_over_and_the_older_says_so():
    module = collection()
    older, newer = optim.SGD(module), optim.Adagrad(module)
    module(random_bags(module, 5)).sum().backward()
    with pytest.raises(ValueError, match="newer optimiser"):
        older.step()
    newer.step()


@pytest.mark.parametrize("copying", [copy.deepcopy, pickle.dumps])
def test_copies_of_an_optimizer_are_refused(copying):
    with pytest.raises(ValueError, match="keep its state_dict"):
        copying(optim.SGD(collection()))


def test_states_of_another_kind_and_more_parameters_are_refused():
    module = collection()
    optimizer = optim.SGD(module)
    train(module, optimizer)
    state = optimizer.state_dict()
    with pytest.raises(ValueError, match="lacks 'sum'"):
        optim.Adagrad(module).load_state_dict(state)
    with pytest.raises(ValueError, match="make another optimiser"):
        optimizer.add_param_group({"params": [torch.zeros(3, requires_grad=True)]})


def test_a_dense_gradient_beside_the_deferred_one_is_stepped_too():
    ours, theirs = collection(), collection()
    fused, plain = optim.SGD(ours, lr=0.5), torch.optim.SGD(theirs.parameters(), lr=0.5)
    for module, optimizer in ((ours, fused), (theirs, plain)):
        torch.manual_seed(2)
        (module(random_bags(module, 5)).sum() + module.memory.pow(2).sum()).backward()
        optimizer.step()
    torch.testing.assert_close(ours.memory, theirs.memory)


def test_weights_keep_their_gradient():
    module = EmbeddingBagCollection([Table("t", 50, 4)], Robe(4), memory_size=64, dtype=torch.float64)
    bags = (torch.randint(0, 50, (9,)), torch.tensor([0, 4, 9]))
    weights = torch.rand(9, dtype=torch.float64, requires_grad=True)
    module((*bags, weights)).pow(2).sum().backward()
    expected, weights.grad = weights.grad, None
    optimizer = optim.SGD(module)
    module((*bags, weights)).pow(2).sum().backward()
    assert torch.equal(weights.grad, expected)
    optimizer.step()


def test_a_model_trains_with_a_learning_rate_schedule():
    torch.manual_seed(0)
    module = EmbeddingBagCollection([Table("t", 100, 8)], Robe(8), memory_size=80)
    model = nn.Sequential(module, nn.Flatten(), nn.Linear(8, 1))
    fused, dense = optim.Adam(model, lr=0.02), torch.optim.Adam(model[2].parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.LinearLR(fused, 1.0, 0.1, 60)
    ids = torch.randint(0, 100, (64, 1))
    losses = []
    for _ in range(60):
        loss = nn.functional.binary_cross_entropy_with_logits(model(ids)[:, 0], (ids[:, 0] % 2).float())
        loss.backward()
        fused.step()
        dense.step()
        schedule.step()
        fused.zero_grad()
        dense.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    assert fused.param_groups[0]["lr"] < 0.003


def test_evaluation_leaves_nothing_waiting():
    module = collection()
    optimizer = optim.SGD(module)
    before = module.memory.detach().clone()
    with torch.no_grad():
        module(random_bags(module, 3))
    optimizer.step()
    assert torch.equal(module.memory, before)


def test_zero_grad_drops_what_waits():
    module = collection()
    optimizer = optim.SGD(module)
    before = module.memory.detach().clone()
    module(random_bags(module, 3)).sum().backward()
    optimizer.zero_grad()
    optimizer.step()
    assert torch.equal(module.memory, before)


def test_gradients_are_ordinary_again_when_the_optimizer_is_gone_or_the_module_copied():
    """Else they would pile up where nothing reads them."""
    module = collection()
    optimizer = optim.SGD(module)
    twin = copy.deepcopy(module)
    twin(random_bags(twin, 3)).sum().backward()
    assert twin.memory.grad is not None
    del optimizer
    gc.collect()
    module(random_bags(module, 3)).sum().backward()
    assert module.memory.grad is not None


def test_closures_are_called_with_gradients():
    module = collection()
    optimizer = optim.SGD(module)
    bags = random_bags(module, 3)

    def closure():
        optimizer.zero_grad()
        loss = module(bags).pow(2).sum()
        loss.backward()
        return loss

    first = optimizer.step(closure).item()
    assert optimizer.step(closure).item() < first


def test_a_tied_memory_is_stepped_once():
    first, second = (pocketrec.EmbeddingBag(100, 8, memory_size=50, dtype=torch.float64) for _ in range(2))
    second.memory = first.memory
    model = nn.ModuleList([first, second])
    optimizer = optim.SGD(model, lr=1.0)
    plain = copy.deepcopy(model)
    reference_optimizer = torch.optim.SGD(plain.parameters(), lr=1.0)
    for modules, own in ((model, optimizer), (plain, reference_optimizer)):
        (modules[0](torch.tensor([[3, 4]])) * modules[1](torch.tensor([[4, 9]]))).sum().backward()
        own.step()
    torch.testing.assert_close(first.memory, plain[0].memory)


REFUSED = {
    "no embedding": (lambda: optim.SGD(nn.Linear(2, 2)), "no pocketrec embedding"),
    "full tables": (lambda: optim.SGD(EmbeddingBagCollection([Table("t", 9, 2)], Full())), "row-sparse gradients"),
    "negative rate": (lambda: optim.SGD(collection(), lr=-1.0), "lr: must be finite and at least 0, got -1.0"),
    "beta of one": (lambda: optim.Adam(collection(), betas=(0.9, 1.0)), r"betas: must be in \[0, 1\)"),
    "nan": (lambda: optim.Adagrad(collection(), eps=float("nan")), "eps: must be finite"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused(case):
    build, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        build()


def test_several_processes_are_refused(monkeypatch):
    """Each would step by its own gradient, and replicas drift apart."""
    module = collection()
    optimizer = optim.SGD(module)
    module(random_bags(module, 3)).sum().backward()
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    with pytest.raises(ValueError, match=r"use torch\.optim"):
        optimizer.step()
