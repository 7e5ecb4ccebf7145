"""Each parameter gets its own part's optimiser, and every optimiser does its textbook step."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from planted import Tables, planted_rows, small_dlrm
from torch import Tensor, nn

from pocketrec.errors import UsageError
from pocketrec.training import TrainConfig
from pocketrec.training.optimizers import Optimizers, parameter_groups


class SharedMemory(nn.Module):
    """An embedding as pocketrec's say it of themselves, with a part inside."""

    is_embedding = True

    def __init__(self, *, sparse: bool = False) -> None:
        super().__init__()
        self.memory = nn.Parameter(torch.zeros(8))
        self.inner = nn.Linear(2, 2)
        self.sparse_gradients = sparse


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shared = SharedMemory()
        self.full = SharedMemory(sparse=True)
        self.table = nn.Embedding(4, 2)
        self.bag = nn.EmbeddingBag(4, 2, mode="sum", sparse=True)
        self.frozen = nn.Embedding(4, 2).requires_grad_(False)
        self.head = nn.Linear(2, 1)
        self.scale = nn.Parameter(torch.ones(()))


def names(model: nn.Module, parameters: list[nn.Parameter]) -> set[str]:
    known = {id(parameter): name for name, parameter in model.named_parameters()}
    return {known[id(parameter)] for parameter in parameters}


def test_parameters_are_sorted_into_their_groups() -> None:
    model = Mixed()
    groups = parameter_groups(model)
    inside = {"memory", "inner.weight", "inner.bias"}
    assert names(model, groups.embedding) == {f"shared.{name}" for name in inside} | {"table.weight"}
    assert names(model, groups.sparse_embedding) == {f"full.{name}" for name in inside} | {"bag.weight"}
    assert names(model, groups.dense) == {"head.weight", "head.bias", "scale"}


def test_a_tied_table_is_an_embedding_once() -> None:
    model = nn.ModuleDict({"head": nn.Linear(2, 4, bias=False), "table": nn.Embedding(4, 2)})
    model["head"].weight = model["table"].weight
    groups = parameter_groups(model)
    assert (len(groups.embedding), len(groups.dense)) == (1, 0)


def test_each_group_gets_its_kind_and_learning_rate() -> None:
    config = TrainConfig(
        embedding_optimizer="adam",
        dense_optimizer="adagrad",
        embedding_learning_rate=0.5,
        dense_learning_rate=0.25,
        dense_weight_decay=0.1,
    )
    made = dict(Optimizers(Mixed(), config))
    assert {name: type(optimizer).__name__ for name, optimizer in made.items()} == {
        "dense": "Adagrad",
        "embedding": "Adam",
        "sparse_embedding": "SparseAdam",
    }
    assert {name: optimizer.param_groups[0]["lr"] for name, optimizer in made.items()} == {
        "dense": 0.25,
        "embedding": 0.5,
        "sparse_embedding": 0.5,
    }
    assert [made[name].param_groups[0]["weight_decay"] for name in ("dense", "embedding")] == [0.1, 0.0]


def update(kind: str, rate: float, gradient: Tensor, *, sparse: bool) -> Tensor:
    """The first step of each optimiser, as its paper says, from fresh state."""
    if kind == "sgd":
        return -rate * gradient
    # Adam's corrected moments after one step are g and g^2, and Adagrad's sum is g^2: both move by the sign.
    # SparseAdam adds its epsilon before the correction (the form at the end of section 2 of the paper).
    epsilon = 1e-8 / math.sqrt(1 - 0.999) if kind == "adam" and sparse else 1e-8
    return -rate * gradient / (gradient.abs() + epsilon)


@pytest.mark.parametrize("kind", ["adam", "adagrad", "sgd"])
@pytest.mark.parametrize("sparse", [False, True])
def test_first_step_by_hand(kind: str, sparse: bool) -> None:
    model = small_dlrm(sparse=sparse)
    reference = small_dlrm()
    dense, ids, labels = planted_rows(64)
    for one in (model, reference):
        nn.functional.binary_cross_entropy_with_logits(one(dense, ids), labels).backward()
    gradients = {name: parameter.grad for name, parameter in reference.named_parameters()}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert model.embeddings.bag.weight.grad.is_sparse == sparse
    config = TrainConfig(
        embedding_optimizer=kind, dense_optimizer=kind, embedding_learning_rate=0.2, dense_learning_rate=0.1
    )
    Optimizers(model, config).step(0.5)
    for name, parameter in model.named_parameters():
        embedding = name.startswith("embeddings")
        rate = 0.5 * (0.2 if embedding else 0.1)
        expected = before[name] + update(kind, rate, gradients[name], sparse=sparse and embedding)
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-4, atol=1e-6)
        assert parameter.grad is None


@pytest.mark.parametrize(
    ("model", "config", "message"),
    [
        (nn.ReLU(), {}, "model: has no parameter that requires a gradient"),
        (
            Tables(sparse=True),
            {"embedding_weight_decay": 0.1},
            "embedding_weight_decay: must be 0 for embeddings with row-sparse gradients, got 0.1",
        ),
    ],
)
def test_bad_combinations(model: nn.Module, config: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Optimizers(model, TrainConfig(**config))
