"""DLRM against computations written by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from pocketrec.errors import UsageError
from pocketrec.models import DLRM, PRESETS
from pocketrec.models.interaction import DotInteraction, dot_interaction_reference
from pocketrec.models.mlp import DLRMLinear


class Tables(nn.Module):
    """F ordinary tables of the same size, the plainest `embeddings` a model can be given."""

    def __init__(self, num_features: int = 3, num_embeddings: int = 5, embedding_dim: int = 4) -> None:
        super().__init__()
        self.num_features, self.embedding_dim = num_features, embedding_dim
        self.tables = nn.ModuleList(nn.Embedding(num_embeddings, embedding_dim) for _ in range(num_features))

    def forward(self, ids: Tensor) -> Tensor:
        return torch.stack([table(column) for table, column in zip(self.tables, ids.unbind(1), strict=True)], dim=1)


def by_hand(model: DLRM, dense: list[float], vectors: list[list[float]]) -> float:
    """One row through DLRM in plain Python."""

    def layers(x: list[float], net: nn.Sequential, last_relu: bool) -> list[float]:
        linears = [layer for layer in net if isinstance(layer, nn.Linear)]
        for number, layer in enumerate(linears):
            weight, bias = layer.weight.tolist(), layer.bias.tolist()
            x = [math.fsum(w * v for w, v in zip(row, x, strict=True)) + b for row, b in zip(weight, bias, strict=True)]
            if last_relu or number + 1 < len(linears):
                x = [max(v, 0.0) for v in x]
        return x

    bottom = layers(dense, model.bottom, last_relu=True)
    everything = [bottom, *vectors]
    dots = [
        math.fsum(a * b for a, b in zip(everything[i], everything[j], strict=True))
        for i in range(len(everything))
        for j in range(i)
    ]
    return layers([*bottom, *dots], model.top, last_relu=False)[0]


def test_dlrm_is_the_computation_written_by_hand() -> None:
    torch.manual_seed(0)
    model = DLRM(Tables(), num_dense=2, bottom=(7, 6), top=(9, 5)).double()
    dense, ids = torch.randn(8, 2, dtype=torch.float64), torch.randint(5, (8, 3))
    rows = model.embeddings(ids).tolist()
    expected = [by_hand(model, x, vectors) for x, vectors in zip(dense.tolist(), rows, strict=True)]
    logits = model(dense, ids)
    assert logits.shape == (8,)
    torch.testing.assert_close(logits, torch.tensor(expected, dtype=torch.float64))


def widths(net: nn.Sequential) -> list[int]:
    linears = [layer for layer in net if isinstance(layer, nn.Linear)]
    return [linears[0].in_features, *(layer.out_features for layer in linears)]


@pytest.mark.parametrize(
    ("name", "dim", "bottom", "top"),
    [
        ("kaggle", 16, [13, 512, 256, 64, 16], [16 + 351, 512, 256, 1]),
        ("kaggle", 64, [13, 512, 256, 64, 64], [64 + 351, 512, 256, 1]),
        ("terabyte", 128, [13, 512, 256, 128], [128 + 351, 1024, 1024, 512, 256, 1]),
    ],
)
def test_presets_have_the_published_layers(name: str, dim: int, bottom: list[int], top: list[int]) -> None:
    model = DLRM.from_preset(name, Tables(num_features=26, num_embeddings=2, embedding_dim=dim))
    assert (widths(model.bottom), widths(model.top)) == (bottom, top)
    assert isinstance(model.bottom[-1], nn.ReLU)
    assert isinstance(model.top[-1], nn.Linear)


def test_published_embedding_widths() -> None:
    assert {name: preset.embedding_dim for name, preset in PRESETS.items()} == {"kaggle": 16, "terabyte": 128}


@pytest.mark.parametrize(("batch", "num_vectors", "dim"), [(0, 3, 4), (1, 1, 3), (5, 2, 1), (129, 27, 16), (3, 6, 5)])
def test_interaction_and_its_gradient_are_the_naive_ones(batch: int, num_vectors: int, dim: int) -> None:
    torch.manual_seed(1)
    vectors = torch.randn(batch, num_vectors, dim, dtype=torch.float64, requires_grad=True)
    naive = vectors.detach().clone().requires_grad_()
    out, expected = DotInteraction(num_vectors)(vectors), dot_interaction_reference(naive)
    assert out.shape == (batch, num_vectors * (num_vectors - 1) // 2)
    torch.testing.assert_close(out, expected)
    upstream = torch.randn_like(out)
    out.backward(upstream)
    expected.backward(upstream)
    torch.testing.assert_close(vectors.grad, naive.grad)


def test_interaction_passes_gradcheck() -> None:
    vectors = torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(DotInteraction(4), (vectors,))


def test_initialisation_is_dlrms() -> None:
    torch.manual_seed(2)
    layer = DLRMLinear(600, 400)
    assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / 1000), rel=0.02)
    assert layer.bias.std().item() == pytest.approx(math.sqrt(1 / 400), rel=0.1)


def test_no_dense_columns_gives_a_learned_vector() -> None:
    model = DLRM(Tables(), num_dense=0, bottom=(8,), top=(4,))
    model(torch.zeros(6, 0), torch.randint(5, (6, 3))).sum().backward()
    assert model.bottom[0].bias.grad is not None


def test_ids_are_passed_through_untouched() -> None:
    class Recorder(nn.Module):
        num_features, embedding_dim = 2, 4

        def forward(self, ids: object) -> Tensor:
            self.seen = ids
            return torch.zeros(3, 2, 4)

    bags = (torch.arange(6), torch.arange(7))
    model = DLRM(Recorder(), num_dense=1, bottom=(2,), top=(2,))
    model(torch.zeros(3, 1), bags)
    assert model.embeddings.seen is bags


def test_state_dict_holds_parameters_only() -> None:
    model = DLRM(Tables(), num_dense=1, bottom=(2,), top=(2,))
    assert set(model.state_dict()) == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: DLRM.from_preset("kagle", Tables()), "preset: unknown name 'kagle': did you mean 'kaggle'?"),
        (lambda: DLRM(nn.Linear(2, 2)), "embeddings: needs an integer attribute num_features of at least 1, got None"),
        (lambda: DLRM(Tables(), num_dense=-1), "num_dense must be at least 0, got -1"),
        (lambda: DLRM(Tables(), top=(8, 0)), "top: every width must be at least 1, got 0"),
        (lambda: DLRM(Tables())(torch.zeros(2, 12), None), "dense: must have the shape (B, 13), got (2, 12)"),
    ],
)
def test_bad_arguments_are_named(build: object, message: str) -> None:
    with pytest.raises(UsageError) as error:
        build()  # type: ignore[operator]
    assert str(error.value) == message
