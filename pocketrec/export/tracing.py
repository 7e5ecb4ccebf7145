"""A module as `torch.export` sees it, its lookups in plain arithmetic: what ONNX and .pt2 files are written from."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pocketrec import ops
from pocketrec.data.ids import Ids
from pocketrec.embedding import owners_in, quantize_
from pocketrec.errors import UsageError
from pocketrec.export import coded
from pocketrec.export.bags import PaddedBags
from pocketrec.export.dialects import Dialect
from pocketrec.export.id_maps import id_map
from pocketrec.export.plain import plain

PREFIX = "model."
"""Of a model's weights in what is exported here: the model is a part of a larger module."""


@dataclass(frozen=True)
class Source:
    """What is exported, and what PyTorch says of the example rows."""

    module: nn.Module
    """Takes the inputs as tensors, one after the other; its `model` is the model as it is served."""
    names: tuple[str, ...]
    """Of the inputs."""
    inputs: tuple[Tensor, ...]
    """The example rows."""
    output: str
    expected: np.ndarray
    """What PyTorch says of them."""


class Whole(nn.Module):
    """From a log's raw values to a probability."""

    def __init__(self, model: nn.Module, ids: nn.Module, n_dense: int) -> None:
        super().__init__()
        self.model, self.ids, self.n_dense = model, ids, n_dense

    def forward(self, *inputs: Tensor) -> Tensor:
        """dense (B, n) float32 unless n is 0, ids (B, F) int64 -> (B,)."""
        ids = inputs[-1]
        dense = ids.new_zeros(ids.shape[0], 0).float()
        if self.n_dense:
            dense = torch.log1p(torch.where(inputs[0] > 0, inputs[0], 0.0))  # NaN is not above 0
        logits: Tensor = self.model(dense, self.ids(ids))
        return logits.reshape(-1).float().sigmoid()


class Called(nn.Module):
    """A model called with tensors, some of which are the parts of a `PaddedBags`."""

    def __init__(self, model: nn.Module, example: Sequence[Tensor | PaddedBags]) -> None:
        super().__init__()
        self.model = model
        self.parts = [None if isinstance(each, Tensor) else sum(t is not None for t in each) for each in example]

    def forward(self, *inputs: Tensor) -> Tensor:
        """The tensors of all arguments, one after the other -> what the model gives."""
        left, arguments = list(inputs), list[Any]()
        for parts in self.parts:
            taken = [left.pop(0) for _ in range(parts or 1)]
            arguments.append(taken[0] if parts is None else PaddedBags(*taken))
        out: Tensor = self.model(*arguments)
        return out


def whole(
    model: nn.Module, ids: Ids, columns: Sequence[int], dense: Tensor, raw_ids: Tensor, dialect: Dialect
) -> Source:
    """From raw values to a probability; `dense` (B, n) and `raw_ids` (B, F) are rows of the log."""
    n_dense = dense.shape[1]
    served = served_copy(model)
    seen = np.zeros((len(raw_ids), len(ids.num_embeddings)), np.int64)
    seen[:, list(columns)] = raw_ids.numpy()
    translated = torch.from_numpy(np.ascontiguousarray(ids.translate(seen)[:, list(columns)]))
    with torch.no_grad():
        logits = served(torch.log1p(torch.nan_to_num(dense, nan=0.0).clamp(min=0)), translated)
    expected = logits.reshape(-1).float().sigmoid().numpy()
    module = Whole(served, id_map(ids, columns, dialect), n_dense).eval()
    if n_dense:
        return Source(module, ("dense", "ids"), (dense.float(), raw_ids), "probability", expected)
    return Source(module, ("ids",), (raw_ids,), "probability", expected)


def called(model: nn.Module, example: Sequence[Tensor | PaddedBags]) -> Source:
    """The model itself, with its own inputs and output.

    Raises:
        UsageError: examples that are neither tensors nor `PaddedBags`, or of which the model takes less.
    """
    if not example or not all(isinstance(each, Tensor | PaddedBags) for each in example):
        raise UsageError("example: must be a tuple of what the model is called with, tensors or PaddedBags")
    served = served_copy(model)
    with torch.no_grad():
        out = served(*(each if isinstance(each, Tensor) else _as_called(each) for each in example))
    if not isinstance(out, Tensor):
        raise UsageError(f"model: must give one tensor to be exported, got a {type(out).__name__}")
    names = tuple(
        name
        for argument, each in zip(_arguments(model, len(example)), example, strict=True)
        for name in _names(argument, each)
    )
    inputs = [t for each in example for t in ([each] if isinstance(each, Tensor) else each) if t is not None]
    return Source(Called(served, example).eval(), names, tuple(inputs), "output", out.numpy())


def _arguments(model: nn.Module, count: int) -> list[str]:
    """Names of the first arguments of a model's forward."""
    names: list[str] = []
    for name, parameter in inspect.signature(model.forward).parameters.items():
        if parameter.kind == inspect.Parameter.VAR_POSITIONAL:
            names += [f"{name}_{i}" for i in range(count - len(names))]
        elif parameter.kind != inspect.Parameter.KEYWORD_ONLY and len(names) < count:
            names.append(name)
    if len(names) < count:
        raise UsageError(f"example: has {count} parts, and {type(model).__name__} takes {len(names)}")
    return names


def _names(argument: str, value: Tensor | PaddedBags) -> list[str]:
    """Of a graph's inputs for one argument."""
    if isinstance(value, Tensor):
        return [argument]
    return [field for field, part in zip(value._fields, value, strict=True) if part is not None]


def _as_called(bags: PaddedBags) -> tuple[Tensor, ...]:
    return tuple(t for t in bags.jagged() if t is not None)


def served_copy(model: nn.Module) -> nn.Module:
    """The model as it is served: memories trained for integers in integers, all other numbers in float32.

    What is a float32 tensor on the CPU is shared with the model, not copied.
    """
    tensors = [*model.parameters(), *model.buffers()]
    if any(t.device.type != "cpu" or (t.is_floating_point() and t.dtype != torch.float32) for t in tensors):
        served = copy.deepcopy(model).cpu().float()
    else:
        served = copy.deepcopy(model, {id(t): t for t in tensors})
    waiting = [owner for owner in owners_in(served) if owner.bits is not None and owner.scales is None]
    if waiting:
        quantize_(nn.ModuleList(waiting))
    return served.eval()


def pack_(served: nn.Module) -> None:
    """Memories in int4, held as int8, become what is stored: two slots a byte. For graphs alone."""
    for owner in owners_in(served):
        if owner.bits == 4 and owner.scales is not None and owner.memory.dtype == torch.int8:
            owner.memory = ops.pack(owner.memory)


def traced(source: Source, dialect: Dialect) -> torch.export.ExportedProgram:
    """The module for batches of any size, and bags of any length.

    Raises:
        UsageError: a model that cannot be traced so.
    """
    pack_(source.module)
    coded.prepare_(source.module)
    sizes = {name: torch.export.Dim(name) for name in ("batch", "length")}
    shapes = tuple({axis: sizes[name] for axis, name in axes.items()} for axes in free_axes(source))
    example = tuple(_few_rows(t) for t in source.inputs)
    with plain(dialect), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own making
        try:
            return torch.export.export(source.module, example, dynamic_shapes={"inputs": shapes}, strict=False)
        except UsageError:
            raise
        except Exception as error:
            told = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UsageError(
                f"model: torch.export cannot trace this {type(_model(source)).__name__}: {told}"
            ) from error


def free_axes(source: Source) -> tuple[dict[int, str], ...]:
    """Of each input, the axes that may have any size, by number, and their names."""
    padded = isinstance(source.module, Called) and any(source.module.parts)
    return tuple({0: "batch", 2: "length"} if padded and t.dim() == 3 else {0: "batch"} for t in source.inputs)


def _model(source: Source) -> nn.Module:
    return source.module.get_submodule(PREFIX[:-1])


def _few_rows(tensor: Tensor) -> Tensor:
    """Three rows (and two ids of a bag): sizes of one would be taken for fixed."""
    shape = [3, *tensor.shape[1:]]
    if tensor.dim() == 3:
        shape[2] = max(shape[2], 2)
    return tensor.new_zeros(shape)
