"""The memory whose rows are nearest to a table's, where rows are sums of what lies in it.

Let R be the matrix that makes rows of a memory: a 1 (or a sign, or a factor) for each slot that serves an element. The
best memory solves R^T R memory = R^T rows. Where one slot serves an element, R^T R is diagonal, and the slot's best
value is the mean of what it serves. Else conjugate gradients come to it, without ever writing R down: R is a lookup,
and its transpose a lookup's backward, block by block of rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from pocketrec.compress.blocks import rows_at_once
from pocketrec.compress.served import Served
from pocketrec.compress.trained import Trained

Advance = Callable[[int], object]
"""Told of rows that are done."""
_STALLED = 1e-5
"""Of the squared error: what an iteration must take off it, or it is the last."""
_ROUNDING = 1e-12
"""Of the squared norm of the table: an error that is none."""
_PIECE = 1 << 20


def mean_memory(served: Served, trained: Trained, memory: Tensor, advance: Advance) -> Tensor:
    """The best memory where one slot serves an element; slots that serve nothing are as in `memory` (M,), float32."""
    sums, counts = served_sums(served, trained, len(memory), advance)
    return torch.where(counts > 0, sums.div_(counts), memory)


def solved_memory(served: Served, trained: Trained, memory: Tensor, iterations: int, advance: Advance) -> Tensor:
    """The best memory where slots add up to an element, as near as so many iterations come; slots that serve nothing
    are as in `memory`.

    From 0, each slot's step divided by what it serves. It stops early where the error hardly falls.
    """
    residual, diagonal = served_sums(served, trained, len(memory), advance)
    error = sum(torch.linalg.vector_norm(rows).item() ** 2 for _, rows in trained.blocks(rows_at_once(served.dim)))
    rounding = _ROUNDING * error
    diagonal.masked_fill_(diagonal == 0, math.inf)  # whose step is 0
    solution, direction = torch.zeros_like(memory), torch.zeros_like(memory)
    size = before = _dot(residual, residual, diagonal)
    for _ in range(iterations):
        if size == 0:
            break
        direction.mul_(size / before).addcdiv_(residual, diagonal)
        image = _normal(served, trained, direction, advance)
        step = size / _dot(direction, image)
        solution.add_(direction, alpha=step)
        residual.sub_(image, alpha=step)
        del image  # before there is another: such vectors are what memory goes to
        error = max(error - step * size, 0.0)
        if step * size <= _STALLED * error + rounding:
            break
        before, size = size, _dot(residual, residual, diagonal)
    return torch.where(diagonal.isinf(), memory, solution)


def served_sums(served: Served, trained: Trained, slots: int, advance: Advance) -> tuple[Tensor, Tensor]:
    """R^T rows (M,), and the sum of each slot's squared factors (M,)."""
    sums, counts = torch.zeros(2, slots, device=trained.weight.device)
    for ids, rows in trained.blocks(_rows_at_once(served, slots)):
        read = served.read(ids)
        sums += served.gathered(rows, read, sums)
        counts += served.gathered(torch.ones_like(rows), read.squared, counts, signed=False)
        advance(len(ids))
    return sums, counts


def _normal(served: Served, trained: Trained, memory: Tensor, advance: Advance) -> Tensor:
    """R^T R memory."""
    total = torch.zeros_like(memory)
    for ids in trained.ids(_rows_at_once(served, len(memory))):
        read = served.read(ids)
        total += served.gathered(served.rows(memory, read), read, memory)
        advance(len(ids))
    return total


def _rows_at_once(served: Served, slots: int) -> int:
    """Half as many elements as slots: where either is much more, it takes more time, or memory."""
    return rows_at_once(served.widest, slots // 2)


def _dot(a: Tensor, b: Tensor, divisor: Tensor | None = None) -> float:
    """Of a and b, each product divided, in float64; piece by piece."""
    total = 0.0
    for first in range(0, len(a), _PIECE):
        piece = slice(first, first + _PIECE)
        product = a[piece].double() * b[piece]
        total += (product if divisor is None else product.div_(divisor[piece])).sum().item()
    return total
