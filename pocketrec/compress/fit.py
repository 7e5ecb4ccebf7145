"""Start a memory from tables that were trained: the rows that are nearest to theirs, in the sum of squares."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from pocketrec.compress.blocks import rows_at_once
from pocketrec.compress.gradient_steps import Values, descend
from pocketrec.compress.least_squares import Advance, mean_memory, solved_memory
from pocketrec.compress.low_rank import is_of_whole_rows, nearest_factors
from pocketrec.compress.served import Served
from pocketrec.compress.trained import Trained
from pocketrec.compress.transform import encode_
from pocketrec.embedding import Embedding, EmbeddingBag
from pocketrec.errors import UsageError, whole_number
from pocketrec.sharing.transform_coding import Coded

_REDRAW, _LOG = 1.0, 30.0
"""Seconds from one sign of life to the next, on a terminal and elsewhere."""


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How hard to try. Raises UsageError for a field that makes no sense."""

    iterations: int = 30
    """Of conjugate gradients, at most, where rows are sums of slots."""
    steps: int = 300
    """Down the gradient, where no formula gives the nearest rows: products, learned weights, networks."""
    seed: int = 0
    """Of those steps."""
    progress: bool = True
    """Show a line on stderr where it takes long."""

    def __post_init__(self) -> None:
        for name, least in (("iterations", 1), ("steps", 0), ("seed", 0)):
            whole_number(name, getattr(self, name), at_least=least)


@torch.no_grad()
def fit_(embedding: Embedding | EmbeddingBag, weight: Tensor, config: FitConfig | None = None) -> None:
    """Set what a module stores, in place, so that its rows are near to `weight`, in the sum of squares.

    Where rows are sums of slots, to the nearest there is: in closed form where one slot serves an element (the mean of
    what it must serve), else by conjugate gradients. So too where they are rows of low rank. Else, and for weights
    learned beside a memory, by steps down the gradient. Maps stay as they are. Slots that serve no row keep their
    values there, and the padding row counts for nothing. Works in float32: so do memories that integers will serve.
    `TransformCoding` gets codes (see `encode`).

    Args:
        embedding: of one table with a known number of rows.
        weight: (num_embeddings, embedding_dim), of any floating type, on the module's device.
        config: how hard to try; `FitConfig()` unless said otherwise.

    Raises:
        UsageError: full tables, a memory in integers, or a weight of another shape or device, on none, or that holds
            infinities or NaN.
    """
    if not isinstance(embedding, (Embedding, EmbeddingBag)) or not isinstance(weight, Tensor):
        told = f"{type(embedding).__name__} and {type(weight).__name__}"
        raise UsageError(f"fit_ takes a pocketrec Embedding or EmbeddingBag and a Tensor (n, D), got {told}")
    if isinstance(embedding.recovery, Coded):
        encode_(embedding, [weight.detach()])
        return
    trained, served = _trained(embedding, weight), Served.by(embedding)
    parameters = list(embedding.parameters())
    memory = next((p.detach().float() for p in embedding.parameters(recurse=False)), None)
    found = _nearest(served, trained, memory, FitConfig() if config is None else config)
    for own, values in zip(parameters, found, strict=True):
        if own.dtype == torch.float64:  # what stays, stays to the last bit
            values = torch.where(values == own.float(), own, values.double())
        own.copy_(values)


def _nearest(served: Served, trained: Trained, memory: Tensor | None, config: FitConfig) -> list[Tensor]:
    """New values of all parameters, the memory first, in float32."""
    recovery = served.recovery
    matrix = None if recovery is None else recovery.matrix(0)
    if memory is not None and matrix is not None and is_of_whole_rows(served):
        with _progress(len(trained.weight), "row", config) as advance:
            return [*nearest_factors(served, trained, memory, len(matrix), advance)]
    if memory is not None and served.is_sum:
        memory = _nearest_memory(served, trained, memory, config)
        if recovery is None or not [*recovery.parameters()]:
            return [memory]
    assert recovery is not None
    values = Values(memory, recovery)
    with _progress(config.steps, "step", config) as advance:
        descend(served, trained, values, config.steps, config.seed, advance)
    return [*values.parameters()]


def _nearest_memory(served: Served, trained: Trained, memory: Tensor, config: FitConfig) -> Tensor:
    """Where rows are sums of slots, given what is learned beside."""
    n, one_term = len(trained.weight), served.recovery is None or served.recovery.terms == 1
    with _progress(n * (1 if one_term else 1 + config.iterations), "row", config) as advance:
        if one_term:
            return mean_memory(served, trained, memory, advance)
        return solved_memory(served, trained, memory, config.iterations, advance)


def _trained(embedding: Embedding | EmbeddingBag, weight: Tensor) -> Trained:
    if embedding.sparse_gradients or embedding.scales is not None:
        raise UsageError("fit_: full tables take their weights as they are, and a memory in integers is for inference")
    parameter = next(embedding.parameters(), None)
    if parameter is None:
        raise UsageError(f"fit_: {embedding.sharing} stores no numbers that could be fitted")
    device = parameter.device
    shape = (embedding.num_embeddings, embedding.embedding_dim)
    if tuple(weight.shape) != shape or weight.device != device or not weight.is_floating_point():
        told = f"got {weight.dtype} {tuple(weight.shape)} on {weight.device}"
        raise UsageError(f"fit_: weight must be of a floating type and shape {shape} and lie on {device}, {told}")
    if weight.is_meta:
        raise UsageError("fit_: a weight on the meta device has no values to come near to: fit when it has some")
    trained = Trained(weight.detach(), embedding.padding_idx)
    for _, rows in trained.blocks(rows_at_once(shape[1])):
        if not torch.isfinite(torch.stack(torch.aminmax(rows))).all():
            raise UsageError("fit_: weight holds infinities or NaN, which no memory comes near to")
    return trained


@contextmanager
def _progress(total: int, unit: str, config: FitConfig) -> Iterator[Advance]:
    """A line on stderr, where it takes long."""
    seconds = _REDRAW if sys.stderr.isatty() else _LOG
    shown = {"desc": "fitting", "unit": unit, "unit_scale": True, "leave": False, "disable": not config.progress}
    with tqdm(total=total, delay=seconds, mininterval=seconds, **shown) as line:
        yield line.update
