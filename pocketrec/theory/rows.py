"""Rows as the functions of this package take them: widths of the tables, chunks of a row."""

from __future__ import annotations

from collections.abc import Sequence

from pocketrec.errors import UsageError, whole_number
from pocketrec.theory.profile import FrequencyProfile

Profiles = Sequence[FrequencyProfile]


def widths(profiles: Profiles, embedding_dim: int | Sequence[int]) -> list[int]:
    """D of each table, from one number for all or one for each.

    Raises:
        UsageError: no table; another number of widths than of tables; a width below 1.
    """
    if not profiles:
        raise UsageError("profiles must hold at least one table's, got none")
    dims = list(embedding_dim) if isinstance(embedding_dim, Sequence) else [embedding_dim] * len(profiles)
    if len(dims) != len(profiles):
        raise UsageError(f"embedding_dim must be one number or one a table, got {len(dims)} for {len(profiles)} tables")
    return [whole_number("embedding_dim", dim, at_least=1) for dim in dims]


def chunk_lengths(dim: int, chunk_size: int) -> dict[int, int]:
    """The lengths of a row's chunks, and how many it has of each: the last may be shorter."""
    whole, rest = divmod(dim, min(chunk_size, dim))
    return {min(chunk_size, dim): whole} | ({rest: 1} if rest else {})
