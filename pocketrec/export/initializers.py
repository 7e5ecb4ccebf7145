"""The constants of a graph: weights by name and outside, each once; the rest inside."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from torch import Tensor, nn

from pocketrec.embedding import SharedTables

EXTERNAL_BYTES = 1024
"""Constants of more bytes than these lie outside the graph."""
_LARGE = 1 << 20
_MEMORY = ("memory", "scales")


def tidy(model: Any, source: nn.Module, served: nn.Module, prefix: str) -> tuple[Any, dict[str, np.ndarray]]:
    """An `onnx_ir.Model` -> its proto, and tensors by name.

    Args:
        model: changed in place.
        source: the module whose `state_dict` says what type weights are stored in.
        served: its copy that was traced, whose tensors have the same names.
        prefix: of these names in the graph.
    """
    import onnx_ir as ir

    graph = model.graph
    stored = source.state_dict()
    held = dict(served.named_parameters()) | dict(served.named_buffers())
    _merge_equal(graph, {prefix + name for name in held})
    _name_folded(graph, held, prefix)
    _store_as(graph, stored, prefix)
    tensors: dict[str, np.ndarray] = {}
    for value in list(graph.initializers.values()):
        name = value.name.removeprefix(prefix)
        array = value.const_value.numpy()
        if "." in name or name in stored:
            own = stored.get(name)
            tensors[name] = array if own is None or own.numel() != array.size else array.reshape(own.shape)
        else:
            name = "graph." + re.sub(r"[^A-Za-z0-9_.-]", "_", name)
        _rename(graph, value, name)
        if array.nbytes > EXTERNAL_BYTES:
            tensors.setdefault(name, array)
            value.const_value = ir.ExternalTensor(
                "", 0, array.nbytes, value.const_value.dtype, shape=ir.Shape(array.shape), name=name
            )
    _fold_reshapes(graph)
    _forget_origins(model)
    for name in [*_layouts(served), *_weights(served)]:
        tensors.setdefault(name, _as_stored(held[name], stored.get(name)))
    return ir.to_proto(model), dict(sorted(tensors.items()))


def _rename(graph: Any, value: Any, name: str) -> None:
    del graph.initializers[value.name]
    value.name = name
    graph.initializers[name] = value


def _name_folded(graph: Any, held: dict[str, Tensor], prefix: str) -> None:
    """Weights that the exporter has reshaped ahead of time, and named anew: the same bytes get their name back."""
    # Large ones it leaves alone.
    small = {name: t.detach() for name, t in held.items() if EXTERNAL_BYTES // 2 < t.nbytes < _LARGE}
    names = {tensor.contiguous().numpy().tobytes(): prefix + name for name, tensor in small.items()}
    for value in list(graph.initializers.values()):
        if EXTERNAL_BYTES // 2 < value.const_value.nbytes < _LARGE and value.name.removeprefix(prefix) not in held:
            name = names.get(value.const_value.tobytes())
            if name is not None and name not in graph.initializers:
                _rename(graph, value, name)


def _merge_equal(graph: Any, weights: set[str]) -> None:
    """One initialiser for several of the same type, shape and bytes: tied weights, repeated constants.

    Weights that just happen to be equal, and large constants, stay apart: they are one where they lie in one place.
    """
    import onnx_ir as ir

    first: dict[Any, Any] = {}
    for value in list(graph.initializers.values()):
        tensor = value.const_value
        by_place = value.name in weights or tensor.nbytes >= _LARGE
        held = tensor.numpy().ctypes.data if by_place else tensor.tobytes()
        key = (tensor.dtype, tuple(tensor.shape), held)
        if key in first:
            ir.convenience.replace_all_uses_with(value, first[key])
            del graph.initializers[value.name]
        else:
            first[key] = value


def _store_as(graph: Any, stored: dict[str, Tensor], prefix: str) -> None:
    """Weights stored in half precision: what is gathered from them, or they themselves, are made float32."""
    import onnx_ir as ir

    for value in list(graph.initializers.values()):
        own = stored.get(value.name.removeprefix(prefix))
        if own is None or not own.is_floating_point() or own.element_size() != 2:
            continue
        half = ir.tensor(own.detach().contiguous().reshape(tuple(value.const_value.shape)))
        for node, index in list(value.uses()):
            if node.op_type == "Gather" and index == 0:
                out = node.outputs[0]
                cast = ir.node("Cast", [out], {"to": ir.DataType.FLOAT})
                ir.convenience.replace_all_uses_with(out, cast.outputs[0])
                cast.replace_input_with(0, out)
                graph.insert_after(node, cast)
                out.dtype = half.dtype
            else:
                cast = ir.node("Cast", [value], {"to": ir.DataType.FLOAT})
                node.replace_input_with(index, cast.outputs[0])
                graph.insert_before(node, cast)
        value.const_value, value.dtype = half, half.dtype


def _fold_reshapes(graph: Any) -> None:
    """A reshaped weight is the same bytes under another shape: nothing to compute, nothing to copy when loading."""
    import onnx_ir as ir

    for node in list(graph):
        source = node.inputs[0] if node.inputs else None
        if node.op_type != "Reshape" or source is None or source.const_value is None or len(source.uses()) != 1:
            continue
        shape = node.inputs[1].const_value
        if shape is None:
            continue
        tensor = source.const_value
        wanted = np.empty(tuple(tensor.shape), np.bool_).reshape(shape.numpy()).shape
        if isinstance(tensor, ir.ExternalTensor):
            source.const_value = ir.ExternalTensor(
                "", 0, tensor.length, tensor.dtype, shape=ir.Shape(wanted), name=tensor.name
            )
        else:
            source.const_value = ir.tensor(tensor.numpy().reshape(wanted), name=source.name)
        source.shape = ir.Shape(wanted)
        ir.convenience.replace_all_uses_with(node.outputs[0], source)
        graph.remove(node, safe=True)


def _forget_origins(model: Any) -> None:
    """Where in which source file a node comes from says nothing to a reader, and names folders of this machine."""
    graph = model.graph
    model.metadata_props.clear()
    graph.metadata_props.clear()
    for number, node in enumerate(graph):
        node.metadata_props.clear()
        node.doc_string = None
        node.name = f"{node.op_type}_{number}"
        for output in node.outputs:
            output.metadata_props.clear()
    unused = [v for v in graph.initializers.values() if not v.uses() and not v.is_graph_output()]
    for value in unused:
        del graph.initializers[value.name]
    for value in (*graph.inputs, *graph.outputs, *graph.initializers.values()):
        value.metadata_props.clear()
        value.doc_string = None


def _layouts(served: nn.Module) -> list[str]:
    """Names of what says where rows lie, for engines that look them up by other means than the graph."""
    return [f"{prefix}{part.layout}" for prefix, owner in _owners(served) for part in owner._parts]


def _weights(served: nn.Module) -> list[str]:
    """Names of all weights. Of equal ones, such as biases that are still 0, a graph keeps but one."""
    memories = [f"{prefix}{name}" for prefix, owner in _owners(served) if owner.scales is not None for name in _MEMORY]
    return [*(name for name, _ in served.named_parameters()), *memories]


def _owners(served: nn.Module) -> list[tuple[str, SharedTables]]:
    return [(f"{name}." if name else "", m) for name, m in served.named_modules() if isinstance(m, SharedTables)]


def _as_stored(tensor: Tensor, stored: Tensor | None) -> np.ndarray:
    """Of a weight as it was traced: half again where it is stored so."""
    half = stored is not None and stored.is_floating_point() and stored.element_size() == 2
    return _array(stored if half and stored is not None else tensor)


def _array(tensor: Tensor) -> np.ndarray:
    import onnx_ir as ir

    array: np.ndarray = ir.tensor(tensor.detach().cpu().contiguous()).numpy()
    return array
