"""The rankers against other people's: the same outputs and gradients once the weights are copied.

DeepCTR-Torch has five of them and every piece of the sixth. MLPerf's own DLRM-DCNv2, in TorchRec, asks for a metrics
package older than ours, so nothing installs it: `pip install --no-deps torchrec==1.9.2 tensordict pyre-extensions
typing-inspect importlib-metadata zipp cloudpickle orjson pyvers`, beside the `bench` extra, lets its test run.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import pytest
import torch
from rankers import ROWS, SMALL, Tables, batch
from torch import Tensor, nn

from pocketrec.models import AutoInt, DCNv2, DeepFM, DLRMDCNv2, FiBiNET, XDeepFM

FEATURES, DIM = 5, 6


def deepctr(module: str) -> ModuleType:
    """A module of DeepCTR-Torch, whose `__init__` is left out: that one asks the network for newer versions."""
    if "deepctr_torch" not in sys.modules:
        spec = importlib.util.find_spec("deepctr_torch")
        assert spec is not None
        package = ModuleType("deepctr_torch")
        package.__path__ = spec.submodule_search_locations
        sys.modules["deepctr_torch"] = package
    return importlib.import_module(f"deepctr_torch.{module}")


def columns(dim: int, num_dense: int) -> list[Any]:
    inputs = deepctr("inputs")
    sparse = [inputs.SparseFeat(f"c{i}", ROWS, dim) for i in range(FEATURES)]
    return sparse + ([inputs.DenseFeat("dense", num_dense)] if num_dense else [])


def theirs(name: str, linear: list[Any], deep: list[Any], **options: Any) -> nn.Module:
    """A model of DeepCTR-Torch that returns logits."""
    return getattr(deepctr("models"), name)(linear, deep, task="regression", **options).double().eval()


def as_one(dense: Tensor, ids: Tensor, places: dict[str, tuple[int, int]]) -> Tensor:
    """The inputs side by side, in the order in which a model of DeepCTR-Torch looks for them."""
    inputs = dict(zip((f"c{i}" for i in range(FEATURES)), ids.double().split(1, dim=1), strict=True)) | {"dense": dense}
    return torch.cat([inputs[name] for name in places], dim=1)


def copy(to: Iterable[Tensor], values: Iterable[Tensor]) -> None:
    for target, value in zip(to, values, strict=True):
        target.data.copy_(value.detach().reshape(target.shape))


def linears(net: nn.Module) -> list[nn.Linear]:
    return [layer for layer in net.modules() if isinstance(layer, nn.Linear)]


def copy_tables(tables: Tables, embeddings: nn.ModuleDict) -> None:
    copy((embeddings[f"c{i}"].weight for i in range(FEATURES)), (t.weight for t in tables.tables))


def copy_hidden(layers: list[nn.Linear], dnn: nn.Module) -> None:
    copy(dnn.linears.parameters(), (p for layer in layers for p in layer.parameters()))


def copy_top(layer: nn.Linear, peer: nn.Module) -> None:
    copy([peer.dnn_linear.weight, peer.out.bias], layer.parameters())


def copy_deep(model: nn.Module, peer: nn.Module) -> None:
    """An MLP with its last layer."""
    *hidden, last = linears(model.deep)
    copy_hidden(hidden, peer.dnn)
    copy_top(last, peer)


def copy_shared(model: nn.Module, peer: nn.Module) -> None:
    """The embeddings and the linear term."""
    copy_tables(model.embeddings, peer.embedding_dict)
    if model.first_order is None:
        return
    if model.first_order.ids is not None:
        copy_tables(model.first_order.ids, peer.linear_model.embedding_dict)
    if model.num_dense:
        copy([peer.linear_model.weight], [model.first_order.dense])


def copy_cross(cross: nn.Module, peer: nn.Module) -> None:
    """Full matrices, or the products of the low-rank ones."""
    for number, layer in enumerate(cross.layers):
        whole = isinstance(layer, nn.Linear)
        copy([peer.kernels[number]], [layer.weight if whole else layer[1].weight @ layer[0].weight])
        copy([peer.bias[number]], [layer.bias if whole else layer[1].bias])


def copy_dcn_v2(model: nn.Module, peer: nn.Module) -> None:
    copy_cross(model.cross, peer.crossnet)
    copy_hidden(linears(model.deep), peer.dnn)
    copy_top(model.top, peer)


def copy_xdeepfm(model: nn.Module, peer: nn.Module) -> None:
    copy(peer.cin.parameters(), model.cin.parameters())
    copy([peer.cin_linear.weight], [model.cin_top.weight])
    copy_deep(model, peer)


def copy_autoint(model: nn.Module, peer: nn.Module) -> None:
    for layer, peer_layer in zip(model.attention, peer.int_layers, strict=True):
        parts = (layer.query, layer.key, layer.value, layer.residual)
        copy([peer_layer.W_Query, peer_layer.W_key, peer_layer.W_Value, peer_layer.W_Res], (p.weight.T for p in parts))
    if model.deep is not None:
        copy_hidden(linears(model.deep), peer.dnn)
    copy_top(model.top, peer)


def copy_fibinet(model: nn.Module, peer: nn.Module) -> None:
    copy(peer.SE.parameters(), model.senet.parameters())
    bilinear = peer.Bilinear.bilinear
    weights = [bilinear.weight] if isinstance(bilinear, nn.Linear) else [layer.weight for layer in bilinear]
    copy(weights[: len(model.bilinear.weight)], model.bilinear.weight)  # the last of `each` is never used
    copy_deep(model, peer)


WIDE = {"dnn_hidden_units": (7, 4)}
CASES: dict[str, tuple[Any, Any, str, dict[str, Any]]] = {
    "deepfm": (lambda *a, **k: DeepFM(*a, hidden=(7, 4), **k), copy_deep, "DeepFM", WIDE),
    "dcn-v2": (
        lambda *a, **k: DCNv2(*a, hidden=(7, 4), cross_layers=3, **k),
        copy_dcn_v2,
        "DCN",
        {**WIDE, "cross_num": 3, "cross_parameterization": "matrix"},
    ),
    "dcn-v2, rank 2": (
        lambda *a, **k: DCNv2(*a, hidden=(7, 4), cross_layers=2, rank=2, **k),
        copy_dcn_v2,
        "DCN",
        {**WIDE, "cross_num": 2, "cross_parameterization": "matrix"},
    ),
    "xdeepfm": (
        lambda *a, **k: XDeepFM(*a, hidden=(7, 4), cin=(6, 4, 3), **k),
        copy_xdeepfm,
        "xDeepFM",
        {**WIDE, "cin_layer_size": (6, 4, 3)},
    ),
    "xdeepfm, whole maps": (
        lambda *a, **k: XDeepFM(*a, hidden=(7, 4), cin=(5, 3), split_half=False, relu=False, **k),
        copy_xdeepfm,
        "xDeepFM",
        {**WIDE, "cin_layer_size": (5, 3), "cin_split_half": False, "cin_activation": "linear"},
    ),
    "autoint": (
        lambda *a, **k: AutoInt(*a, hidden=(7, 4), head_dim=DIM // 2, **k),
        copy_autoint,
        "AutoInt",
        WIDE,
    ),
    "autoint alone": (
        lambda *a, **k: AutoInt(*a, hidden=(), attention_layers=2, num_heads=3, head_dim=DIM // 3, **k),
        copy_autoint,
        "AutoInt",
        {"dnn_hidden_units": (), "att_layer_num": 2, "att_head_num": 3},
    ),
    **{
        f"fibinet, {kind}": (
            lambda *a, kind=kind, **k: FiBiNET(*a, hidden=(7, 4), bilinear=kind, reduction=2, **k),
            copy_fibinet,
            "FiBiNET",
            {**WIDE, "bilinear_type": kind, "reduction_ratio": 2},
        )
        for kind in ("all", "each", "interaction")
    },
}


@pytest.mark.parametrize(("num_dense", "first_order"), [(3, True), (3, False), (0, True)])
@pytest.mark.parametrize("case", CASES)
def test_the_same_as_deepctr(case: str, num_dense: int, first_order: bool) -> None:
    build, copy_rest, name, options = CASES[case]
    torch.manual_seed(3)
    weights = Tables(FEATURES, 1) if first_order else None
    model = build(Tables(FEATURES, DIM), num_dense, first_order=weights).double().eval()
    for parameter in model.parameters():
        parameter.data.normal_(0.0, 0.6)
    deep = columns(DIM, num_dense)
    linear = deep if first_order else deep[FEATURES:] if model.first_order is not None else []
    peer = theirs(name, linear, deep, **options)
    copy_shared(model, peer)
    copy_rest(model, peer)
    dense, ids = batch(33, FEATURES, num_dense)
    logits = model(dense, ids)
    expected = peer(as_one(dense, ids, peer.feature_index)).squeeze(1)
    assert logits.std() > 0.1
    torch.testing.assert_close(logits, expected)
    logits.square().sum().backward()
    expected.square().sum().backward()
    for number, table in enumerate(model.embeddings.tables):
        torch.testing.assert_close(table.weight.grad, peer.embedding_dict[f"c{number}"].weight.grad)


@pytest.mark.parametrize("name", ["dlrm-dcnv2", "dlrm-dcnv2 full"])
def test_dlrm_dcnv2_of_deepctrs_pieces(name: str) -> None:
    """Its MLP, its cross layers with the low-rank matrices multiplied out, and the joints written here."""
    layers = deepctr("layers")
    torch.manual_seed(3)
    model: DLRMDCNv2 = SMALL[name](Tables(FEATURES, DIM), 3).double()
    for parameter in model.parameters():
        parameter.data.normal_(0.0, 0.6)
    bottom = layers.DNN(3, [layer.out_features for layer in linears(model.bottom)]).double()
    copy_hidden(linears(model.bottom), bottom)
    width = (FEATURES + 1) * DIM
    cross = layers.CrossNet(width, layer_num=len(model.cross.layers), parameterization="matrix").double()
    copy_cross(model.cross, cross)
    *hidden, last = linears(model.top)
    dense, ids = batch(33, FEATURES, 3)
    crossed = cross(torch.cat([bottom(dense), *model.embeddings(ids).unbind(1)], dim=1))
    if hidden:
        top = layers.DNN(width, [layer.out_features for layer in hidden]).double()
        copy_hidden(hidden, top)
        crossed = top(crossed)
    expected = (crossed * last.weight[0]).sum(1) + last.bias
    torch.testing.assert_close(model(dense, ids), expected)


def test_dlrm_dcnv2_is_torchrecs() -> None:
    torchrec = pytest.importorskip("torchrec", reason="see this file's first lines")
    from torchrec.models.dlrm import DLRM_DCN

    torch.manual_seed(3)
    model: DLRMDCNv2 = SMALL["dlrm-dcnv2"](Tables(FEATURES, DIM), 3)
    names = [f"c{i}" for i in range(FEATURES)]
    config = functools.partial(torchrec.EmbeddingBagConfig, num_embeddings=ROWS, embedding_dim=DIM)
    bags = torchrec.EmbeddingBagCollection(tables=[config(name=name, feature_names=[name]) for name in names])
    peer = DLRM_DCN(bags, 3, [6, DIM], [5, 1], dcn_num_layers=2, dcn_low_rank_dim=3)
    copy((bags.embedding_bags[n].weight for n in names), (t.weight for t in model.embeddings.tables))
    copy(peer.dense_arch.parameters(), model.bottom.parameters())
    crossnet = peer.inter_arch.crossnet
    copy(crossnet.V_kernels, (layer[0].weight for layer in model.cross.layers))
    copy(crossnet.W_kernels, (layer[1].weight for layer in model.cross.layers))
    copy(crossnet.bias, (layer[1].bias for layer in model.cross.layers))
    copy(peer.over_arch.parameters(), model.top.parameters())
    dense, ids = batch(33, FEATURES, 3)
    bags_of_one = torchrec.KeyedJaggedTensor(names, ids.T.flatten(), lengths=torch.ones(ids.numel(), dtype=torch.int32))
    logits, expected = model(dense.float(), ids), peer(dense.float(), bags_of_one).squeeze(1)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-6)
    logits.square().sum().backward()
    expected.square().sum().backward()
    for name, table in zip(names, model.embeddings.tables, strict=True):
        torch.testing.assert_close(table.weight.grad, bags.embedding_bags[name].weight.grad, rtol=1e-4, atol=1e-5)
