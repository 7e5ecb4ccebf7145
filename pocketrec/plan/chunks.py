"""What a chunk size costs and brings: cache lines, hashes and the variance of what is recovered."""

from __future__ import annotations

from dataclasses import dataclass

from pocketrec import theory
from pocketrec.plan.memory import ELEMENT_BYTES

LINE_BYTES = 64
"""A cache line of x86-64 and most ARM processors. GPUs fetch sectors of 32 bytes."""


@dataclass(frozen=True)
class Chunk:
    """One candidate for Z."""

    chunk_size: int
    """Z."""
    hashes: int
    """Of a row."""
    lines: float
    """Cache lines that a row touches, on average."""
    variance: float
    """Of a recovered inner product of two rows, as a share of that at Z = 1 (`theory.relative_error`, of signed hashes;
    without signs there is a bias too, where elements do not average to zero)."""


def chunks(embedding_dim: int, slots: int) -> tuple[Chunk, ...]:
    """The candidates for rows of this width: 1, powers of two from 4 on, the whole row."""
    sizes = {2**power for power in range(embedding_dim.bit_length()) if power != 1} | {embedding_dim}
    alone = theory.relative_error(embedding_dim, slots, 1)
    return tuple(
        Chunk(
            chunk_size=size,
            hashes=-(-embedding_dim // size),
            lines=lines_of_row(embedding_dim, size),
            variance=(theory.relative_error(embedding_dim, slots, size) / alone) ** 2 if alone else 0.0,
        )
        for size in sorted(sizes)
    )


def lines_of_row(embedding_dim: int, chunk_size: int, line_bytes: int = LINE_BYTES) -> float:
    """Mean cache lines of a row whose chunks start at random slots.

    A run of b bytes that starts on any slot with equal chance touches 1 + (b - 4) / line lines on average.
    """
    whole, rest = divmod(embedding_dim, chunk_size)
    runs = [chunk_size] * whole + [rest] * (rest > 0)
    return sum(1 + (run - 1) * ELEMENT_BYTES / line_bytes for run in runs)


def advice(embedding_dim: int, slots: int) -> tuple[str, str]:
    """What to take for Z and for D, and why, in words."""
    whole = lines_of_row(embedding_dim, embedding_dim)
    # The last candidate but one stands for what is lost by halving.
    half = lines_of_row(embedding_dim, max(1, embedding_dim // 2))
    of_chunk = (
        f"Z = {embedding_dim}, the whole row: {whole:.3g} cache lines a lookup ({half:.3g} at half of it), and the "
        "least variance within a row; over whole tables Z changes no variance, and on Book-Crossing at 100x no "
        "quality (4, 16 and 64 within 0.001 of AUC)"
    )
    error = theory.relative_error(embedding_dim, slots, 1)
    of_width = (
        f"D = {embedding_dim}, as the full tables: a wider virtual row takes no memory and changes the relative error "
        f"of an inner product ({error:.2g}, one over the root of the slots) not at all, but costs time in proportion; "
        "D = 64 instead of 16 gained 0.0015 of AUC on Book-Crossing at 100x, nothing at 1000x"
    )
    return of_chunk, of_width
