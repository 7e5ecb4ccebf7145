"""A memory in int8: slot s is worth `quantized[s] * scales[s // 64]`. For inference; int8 has no gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from pocketrec.errors import UsageError
from pocketrec.ops.layout import SCALE_BLOCK


def quantize(memory: Tensor) -> tuple[Tensor, Tensor]:
    """int8 of the memory's shape, and float32 scales (ceil(M / 64),): each block's largest magnitude is 127 steps.

    An error is at most half a step, 1/254 of the largest magnitude among the block's 64 slots.

    Raises:
        ValueError: a memory that is not floating point, or holds infinities or NaN.
    """
    if not memory.is_floating_point():
        raise UsageError(f"the memory must hold floating-point numbers, got {memory.dtype}")
    flat = memory.detach().reshape(-1).float()
    if not torch.isfinite(flat).all():
        raise UsageError("the memory holds infinities or NaN, which int8 cannot: the model has diverged")
    blocks = torch.nn.functional.pad(flat, (0, -len(flat) % SCALE_BLOCK)).view(-1, SCALE_BLOCK)
    scales = blocks.abs().amax(1) / 127
    steps = blocks / scales.clamp(min=torch.finfo(torch.float32).tiny)[:, None]
    quantized = steps.round().clamp(-127, 127).to(torch.int8).view(-1)[: len(flat)]
    return quantized.view(memory.shape).clone(), scales
