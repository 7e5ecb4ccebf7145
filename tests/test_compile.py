"""The op inside torch's machinery: compile, export, autocast; forward and gradient."""

from __future__ import annotations

import pytest
import torch
from lookups import random_bags
from torch import nn

from pocketrec import EmbeddingBag, EmbeddingBagCollection, Full, HashingTrick, Robe, Table, optim
from pocketrec.models import DLRM


@pytest.fixture(autouse=True)
def _forget_compiled_code():
    """torch gives up on a function that was compiled for eight different modules."""
    torch._dynamo.reset()


TABLES = [Table("a", 129, 8), Table("b", 40, 8, ("b1", "b2"))]


def collection(sharing=None):
    torch.manual_seed(0)
    return EmbeddingBagCollection(TABLES, sharing or Robe(4), memory_size=211)


def gradients(module, call):
    module.zero_grad()
    call().pow(2).sum().backward()
    return [p.grad.clone() for p in module.parameters()]


@pytest.mark.parametrize("sharing", [Robe(4), HashingTrick()])
def test_compiles_without_graph_breaks_for_ids_and_bags(sharing):
    module = collection(sharing)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    for batch in (torch.randint(0, 40, (6, 3)), random_bags(module, 6), (*random_bags(module, 6), None)):
        torch.testing.assert_close(compiled(batch), module(batch))
        torch.testing.assert_close(
            gradients(module, lambda b=batch: compiled(b)), gradients(module, lambda b=batch: module(b))
        )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, of its tracing and of its backend
def test_a_whole_model_compiles_with_the_default_backend():
    """Inductor's own code around the op, with batches of two sizes."""
    model = DLRM(collection(), num_dense=2, bottom=(8,), top=(8,))
    compiled = torch.compile(model, fullgraph=True, dynamic=True)
    for samples in (6, 9):
        batch = torch.rand(samples, 2), torch.randint(0, 40, (samples, 3))
        torch.testing.assert_close(compiled(*batch), model(*batch))
        torch.testing.assert_close(
            gradients(model, lambda b=batch: compiled(*b)), gradients(model, lambda b=batch: model(*b))
        )


def test_errors_speak_through_a_compiled_model():
    compiled = torch.compile(collection(), fullgraph=True, backend="aot_eager")
    with pytest.raises(ValueError, match="feature 'b2', sample 0: id 40 is outside"):
        compiled(torch.tensor([[0, 0, 40]]))


def test_exports_with_any_batch_size(tmp_path):
    model = DLRM(collection(), num_dense=2, bottom=(8,), top=(8,)).eval()
    batch = torch.export.Dim("batch", min=1)
    example = torch.rand(4, 2), torch.randint(0, 40, (4, 3))
    program = torch.export.export(model, example, dynamic_shapes=({0: batch}, {0: batch}))
    torch.export.save(program, tmp_path / "model.pt2")
    loaded = torch.export.load(tmp_path / "model.pt2").module()
    for samples in (1, 33):
        inputs = torch.rand(samples, 2), torch.randint(0, 40, (samples, 3))
        torch.testing.assert_close(loaded(*inputs), model(*inputs))


@pytest.mark.parametrize("kind", ["shared", "fused", "full"])
def test_under_autocast_rows_keep_the_memorys_type_and_weights_may_be_half(kind):
    """As nn.EmbeddingBag; weights come in half precision from a layer before, and their gradient goes back so."""
    budget = {"sharing": Full()} if kind == "full" else {"memory_size": 200}
    bag = EmbeddingBag(100, 8, mode="sum", **budget)
    optimizer = optim.SGD(bag) if kind == "fused" else torch.optim.SGD(bag.parameters(), lr=0.1)
    before = [p.detach().clone() for p in bag.parameters()]
    gate = nn.Linear(3, 3)
    ids, inputs = torch.randint(0, 100, (5, 3)), torch.rand(5, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        weights = gate(inputs)
        out = bag(ids, per_sample_weights=weights)
    assert (weights.dtype, out.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(out, bag(ids, per_sample_weights=weights.float()))
    out.sum().backward()
    assert gate.weight.grad.any()
    optimizer.step()
    assert not any(torch.equal(p, was) for p, was in zip(bag.parameters(), before, strict=True))


def test_a_fused_optimizer_beside_a_compiled_model():
    """A graph cannot keep batches aside, so the memory gets an ordinary gradient, and the step must read that."""
    model, plain = collection(), collection()
    fused, unfused = optim.Adagrad(model, lr=0.1), torch.optim.Adagrad(plain.parameters(), lr=0.1)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    ids = torch.randint(0, 40, (6, 3))
    for module, optimizer in ((compiled, fused), (plain, unfused)):
        module(ids).pow(2).sum().backward()
        optimizer.step()
    torch.testing.assert_close(model.memory, plain.memory)
