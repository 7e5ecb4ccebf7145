"""The hashes of pocketrec/hashing.py, bit for bit, in Triton. Unsigned throughout, as in kernels/cpu/hash.h.

Triton's `%` truncates and its `>>` follows the operand's sign; on unsigned operands both mean what the definition says.
"""

from __future__ import annotations

import triton
import triton.language as tl

from pocketrec import hashing

PRIME = tl.constexpr(hashing.PRIME)
ID_STEP = tl.constexpr(hashing.ID_STEP & 0xFFFFFFFFFFFFFFFF)
CHUNK_STEP = tl.constexpr(hashing.CHUNK_STEP & 0xFFFFFFFFFFFFFFFF)
MULTIPLY_1 = tl.constexpr(0xBF58476D1CE4E5B9)
MULTIPLY_2 = tl.constexpr(0x94D049BB133111EB)


@triton.jit
def mix64(x):
    x = (x ^ (x >> 30)) * MULTIPLY_1
    x = (x ^ (x >> 27)) * MULTIPLY_2
    return x ^ (x >> 31)


@triton.jit
def scale(hashed, n):
    return ((hashed >> 32) * n) >> 32


@triton.jit
def mixing_row(ids, key):
    """The part of the mixing hash that all chunks of a row share."""
    return mix64(ids * ID_STEP + key)


@triton.jit
def mixing_chunk(row, chunk):
    return mix64(row + chunk * CHUNK_STEP)


@triton.jit
def _reduce(x):
    """x mod P for x < 2 P < 2^32: what is left of the linear hash's modulos once both its parts are below P."""
    return tl.where(x >= PRIME, x - PRIME, x)


@triton.jit
def linear_row(ids, constant, id_factor):
    """The part of the linear hash that all chunks (or, for signs, elements) of a row share, uint32 in [0, P)."""
    return _reduce(((ids % PRIME) * id_factor % PRIME + constant).to(tl.uint32))


@triton.jit
def linear_column(chunk, chunk_factor):
    """The part that chunk (or element) number `chunk` of all rows shares, uint32 in [0, P)."""
    return (chunk.to(tl.uint64) * chunk_factor % PRIME).to(tl.uint32)


@triton.jit
def linear_hash(row, column):
    """The linear hash from its two parts, uint32 in [0, P)."""
    return _reduce(row + column)


@triton.jit
def modulo_places(hashed, places):
    """hashed % places for hashed < P < 2^31, in 32 bits: more places than 2^31 change nothing."""
    return hashed % tl.minimum(places, 1 << 31).to(tl.uint32)
