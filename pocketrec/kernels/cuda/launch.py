"""What every launch needs: the shape of a tile, the type sums are kept in, the numbers of a batch.

All of it comes from shapes and dtypes: nothing here reads device memory, so a launch never waits and can be captured
in a CUDA graph.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

_TILE = 512
"""Elements of a tile: 4 for each of 128 threads. Half as many took 1.8 times as long on an H200, twice as many 1.2."""
_WIDEST_BLOCK = 128
_PROGRAMS = 2112
"""Programs at least, where there are tiles enough: 16 for each of an H200's 132 multiprocessors."""
_MOST_TILES = 32
_FLAT = 1024
"""Slots a program of a pass over the whole memory handles."""


class Batch(NamedTuple):
    """The sizes that all kernels take, in their order."""

    num_samples: int
    num_features: int
    num_ids: int
    width: int


def batch_of(indices: Tensor, offsets: Tensor | None, layout: Tensor, width: int) -> Batch:
    """The sizes of a batch, from shapes alone."""
    features = layout.shape[0]
    samples = indices.shape[0] if offsets is None else (offsets.shape[0] - 1) // max(features, 1)
    return Batch(samples, features, indices.numel(), width)


def bags_of(indices: Tensor, offsets: Tensor | None) -> int:
    """What kernels call BAGS: 1 for bags by offsets, 0 for one id a feature, K for as many."""
    if offsets is not None:
        return 1
    return indices.shape[2] if indices.dim() == 3 and indices.shape[2] > 1 else 0


def elements(batch: Batch, bags: int) -> int:
    """At least as many elements as the batch looks up: exact without offsets."""
    return batch.width * (batch.num_ids if bags == 1 else batch.num_samples * max(bags, 1))


def tile_shape(batch: Batch, elements: int | None = None) -> dict[str, Any]:
    """ROWS x BLOCK: blocks as wide as the average row, up to 128; wider rows take several."""
    average = -(-batch.width // max(batch.num_features, 1))
    block = min(max(triton.next_power_of_2(max(average, 1)), 16), _WIDEST_BLOCK)
    return {"ROWS": (elements or _TILE) // block, "BLOCK": block}


def accumulator(dtype: torch.dtype) -> Any:
    """What sums of `dtype` are kept in, as Triton names it."""
    return tl.float64 if dtype == torch.float64 else tl.float32


def options(indices: Tensor, offsets: Tensor | None, weights: Tensor | None) -> dict[str, int]:
    """The variants of a kernel that the arguments ask for."""
    return {"BAGS": bags_of(indices, offsets), "WEIGHTED": weights is not None}


def registers(dtype: torch.dtype, bags: int, alone: int) -> dict[str, int]:
    """The cap on a thread's registers: `alone` for one id a feature, 128 for bags, none in float64.

    On an H200 the forward took 390 us at 48 registers, 442 at 64 and 486 at 72 (65,536 samples of 26 x 128, aligned).
    Left to itself the compiler takes 120 to 250 to shuffle instructions, so that few threads fit and too little is in
    flight; at these caps it spills next to nothing (ptxas -v, sm_90).
    """
    return {} if dtype == torch.float64 else {"maxnreg": 128 if bags else alone}


def over_tiles(kernel: Any, batch: Batch, *args: Any, **constants: Any) -> None:
    """Run `kernel(*args)` for every tile of samples of every feature; `args[0]` is on the device to use."""
    programs = batch.num_features * triton.cdiv(batch.num_samples, constants["ROWS"])
    if batch.width and programs:
        with _device(args[0]):
            kernel[(programs,)](*args, **constants)


def over_runs(kernel: Any, batch: Batch, *args: Any, **constants: Any) -> None:
    """As `over_tiles`, with several tiles of a feature to a program: what a program reads of its feature costs as much
    as a tile does. `kernel` takes their number after `width`."""
    tiles = triton.cdiv(batch.num_samples, constants["ROWS"])
    each = max(1, min(batch.num_features * tiles // _PROGRAMS, _MOST_TILES))
    programs = batch.num_features * triton.cdiv(tiles, each)
    if batch.width and programs:
        with _device(args[0]):
            kernel[(programs,)](*args, tiles=each, **constants)


def over_slots(kernel: Any, num_slots: int, *args: Any, **constants: Any) -> None:
    """Run `kernel(*args)` for every block of slots of a memory."""
    if num_slots:
        with _device(args[0]):
            kernel[(triton.cdiv(num_slots, _FLAT),)](*args, BLOCK=_FLAT, **constants)


def _device(tensor: Tensor) -> Any:
    """Triton launches on torch's current device, which need not be the tensor's; on CPU it interprets."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()
