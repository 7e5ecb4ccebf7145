"""model.onnx: graphs that read elsewhere, loop, or take and give other things than the recipe says."""

from __future__ import annotations

import math
from typing import Any

import made
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from sealing import parts, refused, sealed

from pocketrec.artifact import offsets_of
from pocketrec.artifact.archive import GRAPH


def with_model(model: onnx.ModelProto | bytes) -> bytes:
    graph = model if isinstance(model, bytes) else model.SerializeToString()
    return made.packed(sealed(parts() | {GRAPH: graph}))


def pointing(**told: Any) -> bytes:
    """The memory's external data, told otherwise."""
    model = made.model(made.tensors())
    memory = next(each for each in model.graph.initializer if each.name == "memory")
    for entry in memory.external_data:
        entry.value = str(told.pop(entry.key, entry.value))
    for key, value in told.items():
        memory.external_data.add(key=key, value=value)
    return with_model(model)


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (pointing(location="/etc/passwd"), "reads from '/etc/passwd'; weights lie in model.safetensors"),
        (pointing(location="../model.safetensors"), "reads from '../model.safetensors'"),
        (pointing(location="recipe.json"), "reads from 'recipe.json'"),
        (pointing(offset=10**12), "has no such tensor"),
        (pointing(offset=-1), "does not say where"),
        (pointing(length=1 << 40), "has no such tensor"),
        (pointing(offset=8), "has no such tensor"),
        (pointing(offset="0x10"), "does not say where"),
        (pointing(offset="9" * 5000), "does not say where"),
        (pointing(basepath="/"), "has no such tensor"),
    ],
)
def test_graphs_that_read_elsewhere(contents, said):
    assert said in refused(contents)


def graph_with(change: Any) -> bytes:
    model = made.model(made.tensors())
    change(model)
    return with_model(model)


def _loop(model: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["n", "c"], ["out"], body=body))


def _function(model: onnx.ModelProto) -> None:
    model.functions.append(helper.make_function("x", "f", [], [], [], [helper.make_opsetid("", 20)]))


def _attribute_outside(model: onnx.ModelProto) -> None:
    array = made.tensors()["memory"]
    outside = made.external("memory", array, *offsets_of(made.tensors())["memory"])
    model.graph.node.append(helper.make_node("Constant", [], ["constant"], value=outside))


def _claims(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(TensorProto(name="big", data_type=1, dims=[1 << 40]))


def _many_sizes(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(TensorProto(name="deep", data_type=1, dims=[1 << 60] * 10_000))


def _other_type(model: onnx.ModelProto) -> None:
    next(each for each in model.graph.initializer if each.name == "memory").data_type = TensorProto.INT32


def _other_shape(model: onnx.ModelProto) -> None:
    next(each for each in model.graph.initializer if each.name == "memory").dims[0] = 511


def _renamed(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "numbers"


def _wider(model: onnx.ModelProto) -> None:
    model.graph.input[1].type.tensor_type.shape.dim[1].dim_value = 4


def _fixed_batch(model: onnx.ModelProto) -> None:
    model.graph.input[1].type.tensor_type.shape.dim[0].dim_value = 1


def _random(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("RandomUniformLike", ["summed"], ["probability"]))


def _scale(*values: float, raw: bool) -> onnx.TensorProto:
    return helper.make_tensor("scale", TensorProto.FLOAT, [len(values)], values if not raw else _bytes(values), raw)


def _bytes(values: tuple[float, ...]) -> bytes:
    return np.array(values, np.float32).tobytes()


def _not_a_number(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(_scale(1.0, math.nan, raw=True))


def _infinite_one_by_one(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(_scale(1.0, math.inf, raw=False))


def _infinite_constant(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["scale"], value=_scale(-math.inf, raw=True)))


def _attribute(**value: Any) -> Any:
    return lambda model: model.graph.node.append(helper.make_node("Constant", [], ["scale"], **value))


def _halves(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(helper.make_tensor("halves", TensorProto.FLOAT16, [1], [math.nan]))


def _second_output(model: onnx.ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["B"]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_loop, "a graph within its graph"),
        (_function, "the model holds a field 25"),
        (_attribute_outside, "an attribute reads its value from a file"),
        (_claims, "is not as long as its values"),
        (_many_sizes, "more than 8 sizes"),
        (_other_type, "of type 6 and shape [512] is a F32"),
        (_other_shape, "shape [511] is a F32 of shape [512]"),
        (_renamed, "takes numbers Bx2 of type 1"),
        (_wider, "ids Bx4 of type 7, and by the recipe it should take dense Bx2 of type 1, ids Bx3"),
        (_fixed_batch, "ids 1x3"),
        (_second_output, "more outputs than 1"),
        (_random, "uses 'RandomUniformLike': a model scores a row alike every time"),
        (_not_a_number, "'scale' holds NaN or infinity"),
        (_infinite_one_by_one, "'scale' holds NaN or infinity"),
        (_infinite_constant, "'scale' holds NaN or infinity"),
        (_attribute(value_float=math.nan), "an attribute is NaN or infinite"),
        (_attribute(value_floats=[1.0, math.inf]), "an attribute is NaN or infinite"),
        (_halves, "spells out halves"),
        (lambda model: model.opset_import.append(helper.make_opsetid("evil", 1)), "more opsets than 1"),
        (lambda model: setattr(model.opset_import[0], "domain", "evil" * 1000), "[('evil"),
        (lambda model: setattr(model.opset_import[0], "version", 99), "opset [('', 99)]; this pocketrec reads 20"),
        (lambda model: setattr(model.graph.node[0], "domain", "evil"), "uses 'Mod' of 'evil'"),
    ],
)
def test_graphs_that_do_other_things(change, said):
    told = refused(graph_with(change))
    assert said in told
    assert len(told) < 400, "what a stranger wrote is not told at length"


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        (b"", "opset []"),
        (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "a field is longer than what holds it"),
        (b"\x80" * 100, "a number without an end"),
        (b"\x3b\x00", "wire type 3"),
        (made.model(made.tensors()).SerializeToString() * 2, "more graphs than 1"),
        (b"\x42\x00" * 1_000_000, "more opsets than 1"),
        (b"\x3a\x00" * 1_000_000, "more graphs than 1"),
        (b"\x42\x02\x10\x14\x3a\x80\x89\x7a" + b"\x5a\x00" * 1_000_000, "more inputs than 2"),
        (b"\x00" * ((1 << 22) + 1), "it has at most 4194304"),
    ],
)
def test_graphs_that_are_none(graph, said):
    assert said in refused(with_model(graph))
