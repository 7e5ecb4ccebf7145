"""A trained run's memory in the type it will be served in."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import nn

from pocketrec.embedding import EmbeddingBagCollection, owners_in, quantize_
from pocketrec.embedding.tables import SharedTables
from pocketrec.errors import DataError, UsageError, one_of
from pocketrec.runs import TrainedRun
from pocketrec.runs.build import InFloat32

DTYPES = ("float32", "float16", "int8", "int4")
"""What a memory may be stored in."""
SHORT = {"fp32": "float32", "fp16": "float16"}
"""Other words for them, of the command line."""
_BITS = {"int8": 8, "int4": 4}


def dtype_of(run: TrainedRun, wanted: str | None) -> str:
    """The type to store a run's memory in: the one wanted, else the one it was trained for.

    bfloat16 becomes float16, which has as many bytes and more places, and which runtimes compute with.

    Raises:
        UsageError: a word that is no type, or integers of a run that has none or other ones.
    """
    trained = run.config.precision
    if wanted is None:
        return "float16" if trained == "bfloat16" else trained
    dtype = one_of("dtype", SHORT.get(wanted, wanted), DTYPES)
    if trained in _BITS and dtype != trained:
        raise UsageError(
            f"dtype: {run.folder} was trained to be served in {trained}, not {dtype}: leave --dtype out, or train it "
            "again without --precision"
        )
    if dtype in _BITS and not any(_has_memory(owner) for owner in owners_in(run.model)):
        raise UsageError(
            f"dtype: sharing {run.config.sharing!r} has no shared memory to store in {dtype}: use float32 or float16"
        )
    return dtype


def _has_memory(owner: SharedTables) -> bool:
    return not owner.sparse_gradients and hasattr(owner, "memory")


def in_dtype(run: TrainedRun, dtype: str) -> TrainedRun:
    """The run with its memory in one of `DTYPES`, for inference; the run given stays as it is.

    Raises:
        DataError: values that float16 cannot hold.
    """
    model = copy.deepcopy(run.model).cpu().eval()
    if dtype in _BITS:
        for owner in owners_in(model):
            if owner.scales is None and not owner.sparse_gradients:
                owner.float()
        quantize_(model, _BITS[dtype])
    elif dtype == "float16":
        _halve(model)
    else:
        model.float()
    return replace(run, model=model)


def _halve(model: nn.Module) -> None:
    for name, owner in [(n, m) for n, m in model.named_modules() if isinstance(m, EmbeddingBagCollection)]:
        owner.half()
        kept = [*owner.parameters(), *owner.buffers()]
        if any(t.is_floating_point() and not torch.isfinite(t).all() for t in kept):
            raise DataError(f"{name}: holds numbers beyond 65504, the largest of float16: store it in float32")
        parent_name, _, own = name.rpartition(".")
        parent = model.get_submodule(parent_name)
        if not isinstance(parent, InFloat32):
            setattr(parent, own, InFloat32(owner))
