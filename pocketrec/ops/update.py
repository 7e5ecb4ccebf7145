"""The backward fused with an optimiser's step: one op reads a batch's gradient and steps the memory in place."""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pocketrec.errors import UsageError
from pocketrec.ops import checks, reference
from pocketrec.ops.dispatch import check_backward, is_triton, kernel_for
from pocketrec.ops.library import BATCH, library

library.define(
    "lookup_update_(Tensor grad, Tensor(a!) memory, Tensor(b!)? scratch, Tensor(c!)? first, Tensor(d!)? second, "
    f"{BATCH}, int rule, float[] constants) -> ()"
)


class Update(IntEnum):
    SGD, ADAGRAD, ADAM = range(3)


class Constants(NamedTuple):
    """The numbers of a step; `struct Constants` in kernels/cpu/update.h has the same ones, in the same order."""

    rate: float
    weight_decay: float = 0.0
    epsilon: float = 0.0
    beta1: float = 0.0
    beta2: float = 0.0
    correction1: float = 1.0  # 1 - beta1 ** step
    correction2: float = 1.0


def step_(memory: Tensor, grad: Tensor, first: Tensor | None, second: Tensor | None, rule: int, c: Constants) -> None:
    """One step of `rule` for every slot, in place, given the gradient (M,) in the type that sums are kept in.

    With g = grad + weight_decay * w, as torch.optim:
    SGD w -= rate * g. Adagrad first += g^2; w -= rate * g / (sqrt(first) + epsilon). Adam first, second = running means
    of g and g^2; w -= rate / correction1 * first / (sqrt(second / correction2) + epsilon).
    """
    w = memory.to(grad.dtype)
    g = grad + c.weight_decay * w
    if rule == Update.SGD:
        w = w - c.rate * g
    elif rule == Update.ADAGRAD:
        assert first is not None
        first.addcmul_(g, g)
        w = w - c.rate * g / (first.sqrt() + c.epsilon)
    else:
        assert first is not None
        assert second is not None
        first.mul_(c.beta1).add_(g, alpha=1 - c.beta1)
        second.mul_(c.beta2).addcmul_(g, g, value=1 - c.beta2)
        w = w - c.rate / c.correction1 * first / (second.sqrt() / math.sqrt(c.correction2) + c.epsilon)
    memory.copy_(w)


def new_scratch(memory: Tensor) -> Tensor | None:
    """What `lookup_update_` sums a memory's gradient in, zeros before and after each call; None on CPU: not needed."""
    kernel = kernel_for(memory)
    scratch: Tensor | None = kernel.new_scratch(memory) if is_triton(kernel) else None
    return scratch


def _check(
    memory: Tensor, scratch: Tensor | None, states: tuple[Tensor | None, ...], rule: int, constants: Any
) -> None:
    if rule not in set(Update) or len(constants) != len(Constants._fields):
        raise UsageError(f"rule must be one of {list(Update)} with {len(Constants._fields)} constants, got {rule}")
    sums = reference.accumulator(memory.dtype)
    for name, state in zip(("first", "second"), states[:rule], strict=False):
        checks.check_state(memory, name, state, sums, memory.numel())
    if is_triton(kernel_for(memory)):
        checks.check_state(memory, "scratch", scratch, torch.int64, memory.numel() + 1)


def _lookup_update_(
    grad: Tensor,
    memory: Tensor,
    scratch: Tensor | None,
    first: Tensor | None,
    second: Tensor | None,
    indices: Tensor,
    offsets: Tensor | None,
    weights: Tensor | None,
    layout: Tensor,
    rule: int,
    constants: list[float],
) -> None:
    _check(memory, scratch, (first, second), rule, constants)
    check_backward(grad, memory, indices, offsets, weights, layout)
    kernel = kernel_for(memory)
    if kernel is not reference:
        kernel.lookup_update_(
            grad.contiguous(), memory, scratch, first, second, indices, offsets, weights, layout, rule, constants
        )
        # Kernels write behind autograd's back: a backward that still needs the old memory must find out.
        torch.autograd.graph.increment_version([t for t in (memory, first, second) if t is not None])
        return
    sums = reference.lookup_backward(grad, memory, indices, offsets, weights, layout, rounded=False)
    step_(memory, sums, first, second, rule, Constants(*constants))


library.impl("lookup_update_", _lookup_update_, "CompositeExplicitAutograd")


@torch.library.register_fake("pocketrec::lookup_update_", lib=library)
def _(*args: object) -> None:
    return None
