"""The optimiser's step over the memory, in the pass that reads the gradient's sums and leaves them zero.

A separate backward writes the gradient, and an optimiser reads it back with the memory and its states: the fused pass
saves that round trip and the array itself. It visits every slot, as torch's dense optimisers do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from pocketrec.kernels.cuda.backward import accumulate
from pocketrec.kernels.cuda.fixed_point import from_quanta
from pocketrec.kernels.cuda.launch import accumulator, over_slots

SGD, ADAGRAD, ADAM = map(tl.constexpr, range(3))


@triton.jit(do_not_specialize=["bits"])
def _update_kernel(
    memory_ptr, sums_ptr, largest_ptr, first_ptr, second_ptr, constants_ptr, num_slots, bits,
    rate: tl.float64, weight_decay: tl.float64, epsilon: tl.float64, beta1: tl.float64, beta2: tl.float64,
    correction1: tl.float64, correction2: tl.float64,
    OPTIMIZER: tl.constexpr, FROM_TENSOR: tl.constexpr, ACC: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """torch.optim's formulas in ACC; what depends on the constants alone is computed in float64, as Python would."""
    if FROM_TENSOR:
        rate, weight_decay, epsilon = tl.load(constants_ptr), tl.load(constants_ptr + 1), tl.load(constants_ptr + 2)
        beta1, beta2 = tl.load(constants_ptr + 3), tl.load(constants_ptr + 4)
        correction1, correction2 = tl.load(constants_ptr + 5), tl.load(constants_ptr + 6)
    slots = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    exists = slots < num_slots
    value = tl.load(memory_ptr + slots, mask=exists, other=0.0).to(ACC)
    grad = from_quanta(tl.load(sums_ptr + slots, mask=exists, other=0), largest_ptr, bits, ACC)
    grad += weight_decay.to(ACC) * value
    if OPTIMIZER == SGD:
        value -= rate.to(ACC) * grad
    elif OPTIMIZER == ADAGRAD:
        total = tl.load(first_ptr + slots, mask=exists, other=0.0) + grad * grad
        value -= rate.to(ACC) * grad / (tl.sqrt(total) + epsilon.to(ACC))
        tl.store(first_ptr + slots, total, mask=exists)
    else:
        mean = tl.load(first_ptr + slots, mask=exists, other=0.0)
        mean += (1.0 - beta1).to(ACC) * (grad - mean)
        square = tl.load(second_ptr + slots, mask=exists, other=0.0)
        square = beta2.to(ACC) * square + (1.0 - beta2).to(ACC) * grad * grad
        value -= (
            (rate / correction1).to(ACC) * mean / (tl.sqrt(square) / tl.sqrt(correction2).to(ACC) + epsilon.to(ACC))
        )
        tl.store(first_ptr + slots, mean, mask=exists)
        tl.store(second_ptr + slots, square, mask=exists)
    tl.store(memory_ptr + slots, value.to(memory_ptr.dtype.element_ty), mask=exists)
    # Another thread may have read these sums: a store of a constant waits for no load, and takes a layout of its own.
    tl.debug_barrier()
    tl.store(sums_ptr + slots, tl.zeros([BLOCK], tl.int64), mask=exists)


def lookup_update_(
    grad: Tensor,
    memory: Tensor,
    scratch: Tensor,
    first: Tensor | None,
    second: Tensor | None,
    indices: Tensor,
    offsets: Tensor | None,
    weights: Tensor | None,
    layout: Tensor,
    rule: int,
    constants: Sequence[float] | Tensor,
) -> None:
    """One optimiser step on `memory`, in place, from the gradient `grad` (B, width) of its lookup.

    Args:
        scratch: from `new_scratch(memory)`: zeros before, zeros after.
        first, second: states of the memory's shape, float32 for half memories, else its dtype; updated in place.
            Adagrad: first = sum of squares. Adam: first = exp_avg, second = exp_avg_sq. SGD takes None.
        rule: 0 SGD, 1 Adagrad, 2 Adam.
        constants: rate, weight_decay, epsilon, beta1, beta2, correction1, correction2, where correction_k is
            1 - beta_k^step. Numbers are frozen into a CUDA graph that captures the call; a float64 tensor (7,) on the
            device is read at every replay.
    """
    slots = memory.numel()
    bits = accumulate(scratch, grad, memory, indices, offsets, weights, layout)
    if not isinstance(constants, Tensor) and not memory.is_cuda:  # Triton's interpreter rounds numbers to float32
        constants = torch.tensor(constants, dtype=torch.float64)
    from_tensor = isinstance(constants, Tensor)
    over_slots(
        _update_kernel,
        slots,
        memory,
        scratch,
        scratch[slots:],
        memory if first is None else first,
        memory if second is None else second,
        constants if from_tensor else memory,
        slots,
        bits,
        *([0.0] * 7 if from_tensor else constants),
        OPTIMIZER=rule,
        FROM_TENSOR=from_tensor,
        ACC=accumulator(memory.dtype),
    )
    scratch[slots:].zero_()  # not in the kernel: every program reads it
