"""A memory in int8: slot s is worth `quantized[s] * scales[s // 64]`.

For inference, as int8 has no gradient; and, as the shadow of a float32 master, for training what int8 will serve.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pocketrec.errors import UsageError
from pocketrec.ops.layout import SCALE_BLOCK
from pocketrec.ops.library import library


def quantize(memory: Tensor) -> tuple[Tensor, Tensor]:
    """int8 of the memory's shape, and float32 scales (ceil(M / 64),): each block's largest magnitude is 127 steps.

    An error is at most half a step, 1/254 of the largest magnitude among the block's 64 slots.

    Raises:
        ValueError: a memory that is not floating point, or holds infinities or NaN.
    """
    if not memory.is_floating_point():
        raise UsageError(f"the memory must hold floating-point numbers, got {memory.dtype}")
    if not torch.isfinite(memory.detach()).all():
        raise UsageError("the memory holds infinities or NaN, which int8 cannot: the model has diverged")
    steps, scales = _steps(memory.detach().float())
    return steps.to(torch.int8).view(-1)[: memory.numel()].view(memory.shape).clone(), scales


def _steps(memory: Tensor) -> tuple[Tensor, Tensor]:
    """Whole steps of each block (blocks, 64), the last one padded, and the size of a step (blocks,)."""
    flat = memory.reshape(-1)
    blocks = torch.nn.functional.pad(flat, (0, -flat.shape[0] % SCALE_BLOCK)).view(-1, SCALE_BLOCK)
    scales = blocks.abs().amax(1) / 127
    steps = (blocks / scales.clamp(min=torch.finfo(torch.float32).tiny)[:, None]).round().clamp(-127, 127)
    return steps, scales


def quantized_bytes(slots: int) -> int:
    """Of an int8 memory with its scales."""
    return slots + 4 * -(-slots // SCALE_BLOCK)


def _shadow(master: Tensor) -> Tensor:
    steps, scales = _steps(master)
    return (steps * scales[:, None]).view(-1)[: master.shape[0]].clone()


library.define("shadow(Tensor master) -> Tensor")
library.impl("shadow", _shadow, "CompositeExplicitAutograd")
torch.library.register_fake("pocketrec::shadow", torch.empty_like, lib=library)
torch.library.register_autograd("pocketrec::shadow", lambda ctx, grad: grad, lib=library)


def shadow(master: Tensor) -> Tensor:
    """A float32 memory (M,) as int8 would serve it: `quantize`, and back. The gradient passes straight through.

    Bengio et al., arXiv 1308.3432 (straight-through), as in quantisation-aware training. Takes one more memory.
    """
    out: Tensor = torch.ops.pocketrec.shadow(master)
    return out
