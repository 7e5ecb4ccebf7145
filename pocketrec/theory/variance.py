"""How far an inner product of two virtual tables moves when both are hashed into the memory.

x and y lie in the memory as R'x and R'y, where R is the recovery map (a row of the tables is R times the memory);
<R'x, R'y> stands for <x, y>. Signs make it unbiased; chunks make it steadier, for elements of a chunk never meet.

Shapes: x and y are (N,), cut into chunks of Z one after another, or (n, D), whose chunks do not reach across rows.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from pocketrec.errors import UsageError, one_of, whole_number

SIGNS = ("element", "chunk")


def inner_product_variance(x: ArrayLike, y: ArrayLike, slots: int, chunk_size: int, *, signs: str = "element") -> float:
    """Var <R'x, R'y> over the draws of a signed hash, whose mean is <x, y>.

    signs="element", each element its own (the paper's g):
        (|x|^2 |y|^2 + <x,y>^2 - sum over chunks a of (|x_a|^2 |y_a|^2 + <x_a,y_a>^2)) / M.
        *Others*, for Z = 1: Weinberger et al., ICML 2009 (feature hashing). *Derived* for Z > 1, by leaving out the
        pairs of a chunk; the abstract of ROBE (arXiv 2108.02191) claims the direction.
    signs="chunk", one for all of a chunk, as `Robe(signed=True)` with the mixing hash does:
        *derived*: two chunks that overlap do so at one shift, with one sign, so what the overlap adds is summed before
        it is squared. The sum over shifts is taken in Fourier space. The same on average over signs of x and y.

    Both take starts that are independent and even over M slots, wrapping round: the mixing hash, `align=1`.

    Raises:
        UsageError: x and y of different shapes, empty or not finite; a chunk longer than the memory.
    """
    one_of("signs", signs, SIGNS)
    x_AZ, y_AZ = _chunks(x, y, slots, chunk_size)
    if signs == "chunk":
        # Long enough that shifts do not run into each other; just M where, in the memory, they do.
        length = min(slots, 2 * x_AZ.shape[1] - 1)
        x_AZ, y_AZ = (np.fft.fft(_folded(v, length), axis=1) for v in (x_AZ, y_AZ))
        power_x, power_y, cross = abs(x_AZ) ** 2, abs(y_AZ) ** 2, x_AZ * y_AZ.conj()
        pairs = power_x.sum(0) * power_y.sum(0) + (cross.sum(0) ** 2).real
        own = (power_x * power_y + (cross**2).real).sum(0)
        return float(np.mean(pairs - own)) / slots
    power_x, power_y, cross = (x_AZ**2).sum(1), (y_AZ**2).sum(1), (x_AZ * y_AZ).sum(1)
    pairs = power_x.sum() * power_y.sum() + cross.sum() ** 2
    return float(pairs - (power_x * power_y + cross**2).sum()) / slots


def inner_product_bias(x: ArrayLike, y: ArrayLike, slots: int, chunk_size: int) -> float:
    """E <R'x, R'y> - <x, y> of a hash *without* signs: (sum x sum y - sum over chunks of the same) / M. *Derived*.

    Nothing where the elements of x, or y, sum to zero; the larger the more they agree in sign.

    Raises:
        UsageError: as `inner_product_variance`.
    """
    x_AZ, y_AZ = _chunks(x, y, slots, chunk_size)
    sum_x, sum_y = x_AZ.sum(1), y_AZ.sum(1)
    return float(sum_x.sum() * sum_y.sum() - (sum_x * sum_y).sum()) / slots


def relative_error(embedding_dim: int, slots: int, chunk_size: int, num_rows: int = 1) -> float:
    """The standard deviation of <R'x, R'y> over |x||y|, for tables (num_rows, D) of independent numbers of mean 0.

    sqrt((1 - sum of (chunk length / N)^2) / M), which is sqrt((1 - Z/N) / M) where Z divides D. *Derived*, from
    `inner_product_variance` averaged over x and y, with either kind of signs. So Z matters for a single row (0 at
    Z = D) and not for tables of many rows: there the cost of a read chooses Z.

    Raises:
        UsageError: an argument below 1; a chunk longer than the memory.
    """
    dim = whole_number("embedding_dim", embedding_dim, at_least=1)
    rows = whole_number("num_rows", num_rows, at_least=1)
    chunk = _chunk(chunk_size, dim, slots)
    whole, rest = divmod(dim, chunk)
    same_chunk = (whole * chunk**2 + rest**2) / (rows * dim**2)
    return math.sqrt((1 - same_chunk) / slots)


def _chunks(x: ArrayLike, y: ArrayLike, slots: int, chunk_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Both in float64, chunk by chunk, (A, Z); the last chunk of a row is filled up with zeros."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.shape != y.shape or x.ndim not in (1, 2) or x.size == 0:
        raise UsageError(f"x and y must be of one shape (N,) or (n, D), not empty, got {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise UsageError("x and y must be finite, got NaN or infinity")
    chunk = _chunk(chunk_size, x.shape[-1], slots)
    filled = ((0, 0), (0, -x.shape[-1] % chunk))
    x_AZ, y_AZ = (np.pad(np.atleast_2d(v), filled).reshape(-1, chunk) for v in (x, y))
    return x_AZ, y_AZ


def _chunk(chunk_size: int, dim: int, slots: int) -> int:
    chunk = min(whole_number("chunk_size", chunk_size, at_least=1), dim)
    whole_number("slots", slots, at_least=chunk)
    return chunk


def _folded(chunks: np.ndarray, length: int) -> np.ndarray:
    return np.pad(chunks, ((0, 0), (0, length - chunks.shape[1])))
