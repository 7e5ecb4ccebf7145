"""A memory in int8 or int4: slot s is worth `quantized[s] * scales[s // 64]`.

For inference, as integers have no gradient; and, as the shadow of a float32 master, for training what will be served.
int4 is stored two to a byte, and unpacked to int8 for lookups.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pocketrec.errors import UsageError
from pocketrec.ops.layout import SCALE_BLOCK
from pocketrec.ops.library import library


def quantize(memory: Tensor, bits: int = 8) -> tuple[Tensor, Tensor]:
    """int8 of the memory's shape, and float32 scales (ceil(M / 64),): each block's largest magnitude is the last step.

    There are 127 steps in 8 bits and 7 in 4, either way from 0; an error is at most half a step.

    Raises:
        ValueError: a memory that is not floating point, or holds infinities or NaN.
    """
    if not memory.is_floating_point():
        raise UsageError(f"the memory must hold floating-point numbers, got {memory.dtype}")
    if not torch.isfinite(memory.detach()).all():
        raise UsageError("the memory holds infinities or NaN, which integers cannot: the model has diverged")
    steps, scales = _steps(memory.detach().float(), bits)
    return steps.to(torch.int8).view(-1)[: memory.numel()].view(memory.shape).clone(), scales


def _steps(memory: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Whole steps of each block (blocks, 64), the last one padded, and the size of a step (blocks,)."""
    flat, last = memory.reshape(-1), (1 << (bits - 1)) - 1
    blocks = torch.nn.functional.pad(flat, (0, -flat.shape[0] % SCALE_BLOCK)).view(-1, SCALE_BLOCK)
    scales = blocks.abs().amax(1) / last
    steps = (blocks / scales.clamp(min=torch.finfo(torch.float32).tiny)[:, None]).round().clamp(-last, last)
    return steps, scales


def quantized_bytes(slots: int, bits: int) -> int:
    """Of a memory of integers as it is stored, with its scales."""
    return -(-slots * bits // 8) + 4 * -(-slots // SCALE_BLOCK)


def pack(steps: Tensor) -> Tensor:
    """int8 (M,) in [-8, 8) -> uint8 (ceil(M / 2),), the earlier slot in the lower half."""
    pairs = torch.nn.functional.pad(steps, (0, steps.shape[0] % 2)).view(-1, 2).view(torch.uint8) & 15
    return pairs[:, 0] | (pairs[:, 1] << 4)


def unpack(packed: Tensor, slots: int) -> Tensor:
    """The inverse of `pack`."""
    halves = torch.stack([packed & 15, packed >> 4], 1).view(-1)[:slots].to(torch.int8)
    return torch.where(halves > 7, halves - 16, halves)


def _shadow(master: Tensor, bits: int) -> Tensor:
    steps, scales = _steps(master, bits)
    return (steps * scales[:, None]).view(-1)[: master.shape[0]].clone()


library.define("shadow(Tensor master, int bits) -> Tensor")
library.impl("shadow", _shadow, "CompositeExplicitAutograd")
torch.library.register_fake("pocketrec::shadow", lambda master, bits: torch.empty_like(master), lib=library)
torch.library.register_autograd("pocketrec::shadow", lambda ctx, grad: (grad, None), lib=library)


def shadow(master: Tensor, bits: int = 8) -> Tensor:
    """A float32 memory (M,) as integers will serve it: `quantize`, and back. The gradient passes straight through.

    Bengio et al., arXiv 1308.3432 (straight-through), as in quantisation-aware training. Takes one more memory.
    """
    out: Tensor = torch.ops.pocketrec.shadow(master, bits)
    return out
