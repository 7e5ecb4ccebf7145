"""Which implementation serves a memory: C++ on CPU, Triton on CUDA, and plain PyTorch where there is neither."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

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


def is_plain(*tensors: Tensor | None) -> bool:
    """Whether ops may be called past the dispatcher: real tensors, and nobody compiles, traces or transforms."""
    return (
        not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()
        and torch._C._len_torch_dispatch_stack() == 0
        and torch._C._get_tracing_state() is None
        and all(t is None or (type(t) in (Tensor, Parameter) and t.device.type in ("cpu", "cuda")) for t in tensors)
    )


def is_triton(kernel: Any) -> bool:
    """Whether it is the Triton one, which has two functions more: `check`, done by the device, and `new_scratch`."""
    return kernel is sys.modules.get("pocketrec.kernels.cuda")


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
    if is_triton(kernel):
        kernel.check(memory, indices, offsets, weights, layout, width)
    elif kernel is reference or not kernel.is_sound(memory, indices, offsets, weights is not None, layout, width):
        checks.explain(memory, indices, offsets, weights is not None, layout, width, names)


def check_backward(
    grad: Tensor, memory: Tensor, indices: Tensor, offsets: Tensor | None, weights: Tensor | None, layout: Tensor
) -> None:
    """Raise ValueError on a gradient or batch that a backward could not read: ids may have changed since the lookup."""
    checks.check_tensors(memory, indices, offsets, weights, layout)
    checks.check_gradient(memory, grad, reference.num_samples(indices, offsets, layout))
    check_values(memory, indices, offsets, weights, layout, grad.shape[1], "")
