"""The rankers against their papers' formulas, written out element by element; and what all of them keep to."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from rankers import LINEAR, SMALL, Tables, batch, small
from torch import Tensor, nn

from pocketrec import EmbeddingBagCollection, Robe, Table, stored_bytes
from pocketrec.errors import UsageError
from pocketrec.models import (
    DLRM,
    AutoInt,
    DCNv2,
    DeepFM,
    DLRMDCNv2,
    FiBiNET,
    XDeepFM,
    ranker_named,
)

Vector = list[float]


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def relu(x: Sequence[float]) -> Vector:
    return [max(v, 0.0) for v in x]


def times(matrix: Tensor, x: Vector) -> Vector:
    return [dot(row, x) for row in matrix.tolist()]


def plus(*vectors: Sequence[float]) -> Vector:
    return [math.fsum(values) for values in zip(*vectors, strict=True)]


def by_element(a: Vector, b: Vector) -> Vector:
    return [x * y for x, y in zip(a, b, strict=True)]


def through(net: nn.Module, x: Vector) -> Vector:
    """A row through linear layers and ReLUs; dropout does nothing in evaluation."""
    for layer in net.modules():
        if isinstance(layer, nn.Linear):
            bias = [0.0] * layer.out_features if layer.bias is None else layer.bias.tolist()
            x = plus(times(layer.weight, x), bias)
        elif isinstance(layer, nn.ReLU):
            x = relu(x)
    return x


def linear_term(model: nn.Module, dense: Vector, weights: Vector) -> float:
    return 0.0 if model.first_order is None else dot(dense, model.first_order.dense.tolist()) + math.fsum(weights)


def crossed(model: nn.Module, x0: Vector) -> Vector:
    """x <- x_0 * (W x + b) + x, with W = U V where it has a rank."""
    x = x0
    for layer in model.cross.layers:
        w, bias = (layer.weight, layer.bias) if isinstance(layer, nn.Linear) else (None, layer[1].bias)
        wx = times(w, x) if w is not None else times(layer[1].weight, times(layer[0].weight, x))
        x = plus(by_element(x0, plus(wx, bias.tolist())), x)
    return x


def dlrm_dcnv2(model: nn.Module, dense: Vector, vectors: list[Vector], weights: Vector) -> float:
    return through(model.top, crossed(model, [*through(model.bottom, dense), *itertools.chain(*vectors)]))[0]


def deepfm(model: nn.Module, dense: Vector, vectors: list[Vector], weights: Vector) -> float:
    pairs = math.fsum(dot(a, b) for a, b in itertools.combinations(vectors, 2))
    return pairs + through(model.deep, [*itertools.chain(*vectors), *dense])[0] + linear_term(model, dense, weights)


def dcn_v2(model: nn.Module, dense: Vector, vectors: list[Vector], weights: Vector) -> float:
    x0 = [*itertools.chain(*vectors), *dense]
    deep = [] if model.deep is None else through(model.deep, x0)
    return through(model.top, [*crossed(model, x0), *deep])[0] + linear_term(model, dense, weights)


def compressed_interactions(cin: nn.Module, x0: list[Vector]) -> Vector:
    """Map n of a layer: sum over h, f of W[n, h, f] * x[h] * x_0[f], and a bias; in every column."""
    x, outputs = x0, []
    for number, layer in enumerate(cin.layers):
        weight = layer.weight.unflatten(1, (len(x), len(x0))).tolist()
        maps = [
            [
                layer.bias[n].item()
                + math.fsum(weight[n][h][f] * x[h][d] * x0[f][d] for h in range(len(x)) for f in range(len(x0)))
                for d in range(len(x0[0]))
            ]
            for n in range(layer.out_features)
        ]
        maps = [relu(m) for m in maps] if cin.relu else maps
        half = len(maps) // 2 if cin.split_half and number + 1 < len(cin.layers) else 0
        x = maps[:half] if half else maps
        outputs += [math.fsum(m) for m in maps[half:]]
    return outputs


def xdeepfm(model: nn.Module, dense: Vector, vectors: list[Vector], weights: Vector) -> float:
    cin = dot(model.cin_top.weight[0].tolist(), compressed_interactions(model.cin, vectors))
    return cin + through(model.deep, [*itertools.chain(*vectors), *dense])[0] + linear_term(model, dense, weights)


def interacting(layer: nn.Module, x: list[Vector]) -> list[Vector]:
    """Each head: softmax over k of <Q x_m, K x_k>, times V x_k; heads side by side, plus R x_m, then ReLU."""
    outputs: list[Vector] = [[] for _ in x]
    for head in range(layer.num_heads):
        query, key, value = (w.weight.chunk(layer.num_heads)[head] for w in (layer.query, layer.key, layer.value))
        for m, x_m in enumerate(x):
            scores = [math.exp(dot(times(query, x_m), times(key, x_k))) for x_k in x]
            shares = [score / math.fsum(scores) for score in scores]
            values = [times(value, x_k) for x_k in x]
            outputs[m] += plus(*([share * v for v in row] for share, row in zip(shares, values, strict=True)))
    return [relu(plus(out, times(layer.residual.weight, x_m))) for out, x_m in zip(outputs, x, strict=True)]


def autoint(model: nn.Module, dense: Vector, vectors: list[Vector], weights: Vector) -> float:
    x = vectors
    for layer in model.attention:
        x = interacting(layer, x)
    deep = [] if model.deep is None else through(model.deep, [*itertools.chain(*vectors), *dense])
    return through(model.top, [*itertools.chain(*x), *deep])[0] + linear_term(model, dense, weights)


def bilinear(layer: nn.Module, vectors: list[Vector]) -> Vector:
    """(W v_i) * v_j for i < j; W for all pairs, for i, or for the pair."""
    out: Vector = []
    for number, (i, j) in enumerate(itertools.combinations(range(len(vectors)), 2)):
        matrix = layer.weight[{"all": 0, "each": i, "interaction": number}[layer.kind]]
        out += by_element(times(matrix, vectors[i]), vectors[j])
    return out


def fibinet(model: nn.Module, dense: Vector, vectors: list[Vector], weights: Vector) -> float:
    shares = through(model.senet, [math.fsum(v) / len(v) for v in vectors])
    reweighted = [[share * x for x in v] for share, v in zip(shares, vectors, strict=True)]
    inputs = [*bilinear(model.bilinear, reweighted), *bilinear(model.bilinear, vectors), *dense]
    return through(model.deep, inputs)[0] + linear_term(model, dense, weights)


BY_HAND = {
    DLRMDCNv2: dlrm_dcnv2,
    DeepFM: deepfm,
    DCNv2: dcn_v2,
    XDeepFM: xdeepfm,
    AutoInt: autoint,
    FiBiNET: fibinet,
}


@pytest.mark.parametrize(
    ("name", "first_order"), [(n, False) for n in SMALL if n != "dlrm"] + [(n, True) for n in LINEAR]
)
def test_a_ranker_is_its_formula_written_out(name: str, first_order: bool) -> None:
    model = small(name, first_order=first_order)
    dense, ids = batch(5)
    rows = model.embeddings(ids).tolist()
    weights = model.first_order.ids(ids).squeeze(2).tolist() if first_order else [[0.0] * 4] * 5
    compute = BY_HAND[type(model)]
    expected = [compute(model, *row) for row in zip(dense.tolist(), rows, weights, strict=True)]
    torch.testing.assert_close(model(dense, ids), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("size", [0, 1, 129])
@pytest.mark.parametrize(
    ("name", "num_features", "dim", "num_dense"),
    [(n, *shape) for n in SMALL for shape in [(2, 1, 1), (3, 7, 0), (9, 3, 13)]]
    + [(n, *shape) for n in SMALL if not n.startswith("fibinet") for shape in [(1, 1, 0), (1, 5, 3)]],
)
def test_odd_shapes_and_rows_that_do_not_see_each_other(
    name: str, num_features: int, dim: int, num_dense: int, size: int
) -> None:
    model = small(name, num_features, dim, num_dense, first_order=name in LINEAR)
    dense, ids = batch(size, num_features, num_dense)
    logits = model(dense, ids)
    assert logits.shape == (size,)
    for row in {0, size // 2, size - 1} if size else ():
        torch.testing.assert_close(model(dense[row : row + 1], ids[row : row + 1]), logits[row : row + 1])


@pytest.mark.parametrize("num_dense", [0, 2])
@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_gets_a_finite_gradient(name: str, num_dense: int) -> None:
    model = small(name, num_dense=num_dense, first_order=name in LINEAR).train()
    dense, ids = batch(64, num_dense=num_dense)
    model(dense, ids).square().sum().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.any() or not parameter.numel(), parameter_name


def test_dense_columns_matter_without_an_mlp() -> None:
    model = small("autoint alone")
    dense, ids = batch(3)
    assert (model(dense, ids) != model(dense + 1, ids)).all()


@pytest.mark.parametrize("name", SMALL)
def test_state_goes_to_another_model_and_holds_parameters_only(name: str) -> None:
    model, other = (small(name, first_order=name in LINEAR) for _ in range(2))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert model.state_dict().keys() == dict(model.named_parameters()).keys()
    other.load_state_dict(model.state_dict())
    dense, ids = batch(6)
    assert torch.equal(model(dense, ids), other(dense, ids))


def test_names_of_weights_are_the_same_with_and_without_dropout() -> None:
    with_, without = (DeepFM(Tables(2, 3), 1, hidden=(4, 5), dropout=p) for p in (0.5, 0.0))
    assert with_.state_dict().keys() == without.state_dict().keys()


def test_dropout_is_for_training_only() -> None:
    model = small("deepfm")
    dense, ids = batch(16)
    assert torch.equal(model(dense, ids), model(dense, ids))
    model.train()
    assert not torch.equal(model(dense, ids), model(dense, ids))


@pytest.mark.parametrize("name", ["dlrm-dcnv2", "deepfm", "dcn-v2", "xdeepfm", "autoint", "fibinet"])
def test_compiles_without_graph_breaks(name: str) -> None:
    """DLRM does as well: tests/test_compile.py."""
    torch._dynamo.reset()
    model = small(name, first_order=name in LINEAR)
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend="aot_eager")
    for size in (6, 9):
        dense, ids = batch(size)
        torch.testing.assert_close(compiled(dense, ids), model(dense, ids))
        wanted = torch.autograd.grad(model(dense, ids).sum(), [*model.parameters()])
        torch.testing.assert_close(torch.autograd.grad(compiled(dense, ids).sum(), [*model.parameters()]), wanted)


def planted(size: int = 512) -> tuple[Tensor, Tensor, Tensor]:
    """Clicks that two ids and a dense column decide together."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 20, (size, 3), generator=generator)
    dense = torch.randn(size, 2, generator=generator)
    score = torch.randn(20, 20, generator=generator)[ids[:, 0], ids[:, 1]] + 0.5 * dense[:, 0]
    return dense, ids, (score > 0).float()


@pytest.mark.parametrize("name", SMALL)
def test_learns_over_a_shared_memory(name: str) -> None:
    dense, ids, clicks = planted()
    torch.manual_seed(0)
    embeddings = EmbeddingBagCollection([Table(c, 20, 8) for c in "abc"], Robe(4), memory_size=160, init=0.3)
    model = SMALL[name](embeddings, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(200):
        loss = nn.functional.binary_cross_entropy_with_logits(model(dense, ids), clicks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert math.fsum(losses[-10:]) / 10 < 0.75 * losses[0]


def test_linear_weights_may_share_the_memory_of_the_embeddings() -> None:
    """As in the ROBE paper: one Parameter, read with D = 8 and, under another seed, with D = 1."""

    def build(tied: bool) -> DeepFM:
        torch.manual_seed(0)
        embeddings = EmbeddingBagCollection([Table(c, 20, 8) for c in "abc"], Robe(4), memory_size=160)
        linear = EmbeddingBagCollection([Table(c, 20, 1) for c in "abc"], Robe(1), memory_size=160, seed=1)
        linear.memory = embeddings.memory if tied else nn.Parameter(embeddings.memory.detach().clone())
        return DeepFM(embeddings, 2, hidden=(6,), dropout=0.0, first_order=linear).double()

    tied, apart = build(True), build(False)
    dense, ids, _ = planted(64)
    for model in (tied, apart):
        model(dense.double(), ids).sum().backward()
    assert (stored_bytes(tied), stored_bytes(apart)) == (160 * 8, 2 * 160 * 8)
    assert tied.embeddings.memory is tied.first_order.ids.memory
    both = apart.embeddings.memory.grad + apart.first_order.ids.memory.grad
    torch.testing.assert_close(tied.embeddings.memory.grad, both)


E34 = Tables(3, 4)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ranker_named("deepfn", E34), "model: unknown name 'deepfn': did you mean 'deepfm'?"),
        (
            lambda: ranker_named("deepfm", E34, preset="terabyte"),
            "preset: deepfm has none called 'terabyte': choose from kaggle",
        ),
        (
            lambda: ranker_named("dlrm", E34, first_order=Tables(3, 1)),
            "first_order: dlrm has no linear term: leave it None",
        ),
        (
            lambda: XDeepFM(E34, first_order=Tables(2, 1)),
            "first_order: must have num_features 3 and embedding_dim 1, got num_features 2 and embedding_dim 1",
        ),
        (
            lambda: AutoInt(E34, first_order=Tables(3, 4)),
            "first_order: must have num_features 3 and embedding_dim 1, got num_features 3 and embedding_dim 4",
        ),
        (
            lambda: FiBiNET(E34, first_order=nn.Linear(2, 2)),
            "first_order: needs an integer attribute num_features of at least 1, got None",
        ),
        (
            lambda: FiBiNET(Tables(1, 4)),
            "embeddings: FiBiNET takes pairs of features, so at least 2 of them, got 1",
        ),
        (lambda: FiBiNET(E34, bilinear="al"), "bilinear: unknown name 'al': did you mean 'all'?"),
        (lambda: FiBiNET(E34, reduction=0), "reduction must be at least 1, got 0"),
        (lambda: XDeepFM(E34, cin=()), "cin: needs at least one layer, got ()"),
        (lambda: XDeepFM(E34, cin=(4, 0)), "cin: every width must be at least 1, got 0"),
        (
            lambda: XDeepFM(E34, cin=(5, 4)),
            "cin: with split_half all sizes but the last must be even, got (5, 4)",
        ),
        (lambda: AutoInt(E34, attention_layers=0), "attention_layers must be at least 1, got 0"),
        (lambda: AutoInt(E34, num_heads=1.5), "num_heads must be a whole number, got 1.5"),
        (lambda: DCNv2(E34, cross_layers=0), "cross_layers must be at least 1, got 0"),
        (lambda: DLRMDCNv2(E34, rank=0), "rank must be at least 1, got 0"),
        (lambda: DLRMDCNv2(E34, top=(0,)), "top: every width must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_named(build: object, message: str) -> None:
    with pytest.raises(UsageError) as error:
        build()  # type: ignore[operator]
    assert str(error.value) == message


@pytest.mark.parametrize("cls", [DLRM, DLRMDCNv2, DeepFM, DCNv2, XDeepFM, AutoInt, FiBiNET])
def test_what_every_ranker_refuses(cls: type) -> None:
    with pytest.raises(UsageError, match="num_dense must be at least 0, got -1"):
        cls(E34, -1)
    with pytest.raises(UsageError, match="embeddings: needs an integer attribute num_features of at least 1, got None"):
        cls(nn.Linear(2, 2))
    widths, dropout = ({"top": (8, 0)}, False) if cls in (DLRM, DLRMDCNv2) else ({"hidden": (8, 0)}, True)
    with pytest.raises(UsageError, match=r"(top|hidden): every width must be at least 1, got 0"):
        cls(E34, **widths)
    for probability in (1.0, -0.1, math.nan) if dropout else ():
        with pytest.raises(UsageError, match=rf"dropout must be a number in \[0, 1\), got {probability}"):
            cls(E34, dropout=probability)
    with pytest.raises(UsageError, match=r"dense: must have the shape \(B, 13\), got \(2, 12\)"):
        cls(E34)(torch.zeros(2, 12), None)
