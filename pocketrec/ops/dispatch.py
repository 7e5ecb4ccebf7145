"""Which implementation serves a memory: C++ on CPU, Triton on CUDA, and plain PyTorch where there is neither.

The Triton one has two functions more: `check`, which has the device look at values, and `new_scratch`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pocketrec import kernels
from pocketrec.ops import checks, reference

BUILT_FOR = (torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int8)


def kernel_for(memory: Tensor) -> Any:
    """The fastest implementation; each offers the functions of `reference`, with the same arguments."""
    found = None
    if memory.dtype in BUILT_FOR and memory.device.type == "cpu":
        found = kernels.cpu()
    elif memory.dtype in BUILT_FOR and memory.device.type == "cuda":
        found = kernels.gpu()
    return found or reference


def check_values(
    memory: Tensor,
    indices: Tensor,
    offsets: Tensor | None,
    weights: Tensor | None,
    layout: Tensor,
    width: int,
    names: str,
) -> None:
    """Raise ValueError on values a lookup could not serve; on CUDA, have the device assert (no waiting)."""
    kernel = kernel_for(memory)
    if hasattr(kernel, "check"):
        kernel.check(memory, indices, offsets, weights, layout, width)
    elif kernel is reference or not kernel.is_sound(memory, indices, offsets, weights is not None, layout, width):
        checks.explain(memory, indices, offsets, weights is not None, layout, width, names)
