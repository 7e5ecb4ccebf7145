"""The hashes: (seed, table, id, chunk) -> place, and text -> id. Every kernel repeats this definition bit for bit.

Floor 0. Works on int64 NumPy arrays and int64 torch tensors alike (both wrap around on overflow, floor on `%` and shift
arithmetically), so importing it costs neither library's weight beyond NumPy. Integer arithmetic only, no branch on
data. Ids lie in [0, 2^62), hashed memories hold fewer than 2^31 slots. `VERSION` names this definition; the golden
vectors in tests/test_hashing.py freeze it.

Two families (Desai & Shrivastava, arXiv 2207.10731; Desai et al., ROBE, arXiv 2108.02191):

- *mixing* (hash v1): splitmix64's finaliser (Steele, Lea & Flood, OOPSLA 2014) over (seed, table, id), then over the
  chunk: every chunk of every row is placed independently.
- *linear*: `((A e + B x + C c + D) mod P) mod n` for table e, id x, chunk c. Ids that meet in one chunk meet in all.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

VERSION = 1
ID_LIMIT = 1 << 62  # ids are below this
SLOT_LIMIT = 1 << 31  # hashed memories hold fewer slots than this
BLANK_ID = 0  # the id of an empty field

PRIME = 2038074743  # the authors' P
AUTHORS_ID_LIMIT = 10_586_908_977  # above it their int64 product overflows
# Drawn by the authors as RandomState(1024).randint(0, P): r[1], r[2], r[3] in their code.
AUTHORS_CONSTANT, AUTHORS_CHUNK, AUTHORS_ID = 634329019, 1825252241, 871205356


def _signed(value: int) -> int:
    """The int64 with the low 64 bits of `value`."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


ID_STEP = _signed(0x9E3779B97F4A7C15)
CHUNK_STEP = _signed(0xD1B54A32D192ED03)
_MULTIPLY_1 = _signed(0xBF58476D1CE4E5B9)
_MULTIPLY_2 = _signed(0x94D049BB133111EB)


def mix64(x: Any) -> Any:
    """Mix all 64 bits of each element: a bijection of int64. `>>` is arithmetic, hence the masks."""
    x = (x ^ ((x >> 30) & ((1 << 34) - 1))) * _MULTIPLY_1
    x = (x ^ ((x >> 27) & ((1 << 37) - 1))) * _MULTIPLY_2
    return x ^ ((x >> 31) & ((1 << 33) - 1))


def scale(hashed: Any, n: Any) -> Any:
    """Map the upper 32 bits of each hash evenly to [0, n), n < 2^31, without a division. `n` may be an array, too."""
    return (((hashed >> 32) & 0xFFFFFFFF) * n) >> 32


def mixing_key(seed: int, table: int) -> int:
    """The int64 that stands for (seed, table) in `mixing_hash`."""
    state = mix64(np.array([seed], dtype=np.int64) + CHUNK_STEP) + np.array([table + 1], dtype=np.int64) * ID_STEP
    return int(mix64(state)[0])


def mixing_hash(ids: Any, chunk: Any, key: Any) -> Any:
    """Hash v1 of each (id, chunk) under `key`: 64 bits. `scale` turns it into a place, `chunk_sign` into a sign.

    `ids`, `chunk` and `key` are integers, or int64 arrays or tensors that broadcast.
    """
    return mix64(mix64(ids * ID_STEP + key) + chunk * CHUNK_STEP)


def chunk_sign(hashed: Any) -> Any:
    """+1 or -1 from the lowest bit, which `scale` does not read."""
    return 1 - 2 * (hashed & 1)


def multiply_shift(ids: Any, factor: Any, constant: Any, n: int) -> Any:
    """A cheap hash of each id to [0, n), n < 2^31 (Dietzfelbinger et al., J. Algorithms 1997); `factor` is odd.

    For what only PyTorch computes, in six passes where the mixing hash takes thirty; no kernel repeats it.
    """
    return ((((ids * factor + constant) >> 33) & 0x7FFFFFFF) * n) >> 31


def linear_coefficients(seed: int, table: int, stream: int = 0) -> tuple[int, int, int]:
    """`(A e + D mod P, B, C)` for `linear_hash`; stream 0 serves places, stream 1 signs."""
    counter = np.arange(4, dtype=np.int64) + 4 * stream
    drawn = mix64(mix64(np.array([seed], dtype=np.int64)) + (counter + 1) * CHUNK_STEP)
    a, b, c, d = (1 + int(value) % (PRIME - 1) for value in drawn)
    return (a * table + d) % PRIME, b, c


def authors_coefficients(offset: int) -> tuple[int, int, int]:
    """`(constant, B, C)` with which `linear_hash` equals the authors' kernel (github.com/apd10/robez).

    `offset` is the number of rows in all earlier tables: the authors tell tables apart only by it.
    """
    return (AUTHORS_ID * offset + AUTHORS_CONSTANT) % PRIME, AUTHORS_ID, AUTHORS_CHUNK


def linear_hash(ids: Any, chunk: Any, constant: int, id_factor: int, chunk_factor: int) -> Any:
    """The paper's linear hash of each (id, chunk), in [0, P). The id is reduced first: nothing overflows."""
    return ((ids % PRIME) * id_factor % PRIME + chunk * chunk_factor % PRIME + constant) % PRIME


def element_sign(hashed: Any) -> Any:
    """+1 or -1 for a linear hash evaluated at element i instead of chunk c (the paper's g)."""
    return 2 * (hashed % 2) - 1


def text_id(text: str) -> int:
    """The id of a text value: the first 62 bits of SHA-256 over its UTF-8 bytes; blank text is `BLANK_ID`."""
    if not text:
        return BLANK_ID
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big") >> 2
