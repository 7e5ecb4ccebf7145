"""Ids that no training can tell apart: those whose rows lie in the same slots."""

from __future__ import annotations

import math

from pocketrec.errors import whole_number


def identical_share(ids: int, slots: int, embedding_dim: int, chunk_size: int, *, align: int = 1) -> float:
    """The expected share of a table's ids whose row is, in every chunk, that of another id of the table.

    1 - (1 - q^-C)^(ids - 1) for C = ceil(D/Z) chunks a row and q = M // align places. *Derived*, for the mixing hash,
    which places the chunks of a row independently. Here Z matters: at Z = D an id has ids/M twins, as under the hashing
    trick; with two chunks a row there are hardly any. Not for the linear hash: there, ids that meet in one chunk meet
    in all whose sums wrap round the prime alike, and many have twins whatever Z.

    Raises:
        UsageError: an argument below 1; a memory shorter than `align`.
    """
    others = whole_number("ids", ids, at_least=1) - 1
    dim = whole_number("embedding_dim", embedding_dim, at_least=1)
    chunks = -(-dim // whole_number("chunk_size", chunk_size, at_least=1))
    places = whole_number("slots", slots, at_least=whole_number("align", align, at_least=1)) // align
    if places == 1:
        return float(others > 0)
    return -math.expm1(others * math.log1p(-(float(places) ** -chunks)))
