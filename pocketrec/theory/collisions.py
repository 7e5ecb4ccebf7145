"""Which lookups meet others in the memory, and how much they are disturbed, from how often each id is looked up.

*Derived* for independent, even starts (the mixing hash), ids seen in the profiles, one memory for all tables. The linear
hash spreads consecutive ids more evenly than this.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pocketrec.errors import UsageError, whole_number
from pocketrec.theory.profile import FrequencyProfile

Profiles = Sequence[FrequencyProfile]


def collision_mass(
    profiles: Profiles, slots: int, embedding_dim: int | Sequence[int], chunk_size: int, *, align: int = 1
) -> list[float]:
    """For each table, the expected share of its chunk reads that share a slot with a chunk of another id seen.

    1 - product over the chunks b of all other ids, of every table, of (1 - P(overlap with b)). Two chunks of z and z'
    slots overlap with probability (ceil(z/a) + ceil(z'/a) - 1) / (M // a) for align a: (z + z' - 1) / M for a = 1.
    Reads are weighted by frequency, which changes nothing on average: where a chunk lies does not depend on how often
    it is read. At high compression this is 1 for every table: `interference` says more there.

    Args:
        profiles: one a table.
        slots: M.
        embedding_dim: D, of all tables or of each.
        chunk_size: Z.
        align: starts are multiples of it, as in `Robe`.

    Raises:
        UsageError: no table; widths that are not one a table; an argument below 1; a memory shorter than two chunks.
    """
    dims = _dims(profiles, embedding_dim)
    whole_number("align", align, at_least=1)
    chunk = whole_number("chunk_size", chunk_size, at_least=1)
    widest = min(chunk, max(dims))
    places = whole_number("slots", slots, at_least=2 * max(widest, align)) // align
    rows = [_lengths(dim, chunk) for dim in dims]
    masses = []
    for own, own_row in enumerate(rows):
        read, total = 0.0, sum(own_row.values())
        for length, times in own_row.items():
            log_free = 0.0
            for other, other_row in enumerate(rows):
                others = profiles[other].distinct - (other == own)
                for other_length, other_times in other_row.items():
                    reach = -(-length // align) + -(-other_length // align) - 1
                    log_free += others * other_times * np.log1p(-min(reach / places, 1 - 1e-16))
            read += times / total * -np.expm1(log_free)
        masses.append(float(read))
    return masses


def interference(profiles: Profiles, slots: int, embedding_dim: int | Sequence[int]) -> list[float]:
    """For each table, traffic of other ids / of the id itself, expected at a slot that a lookup reads.

    sum over ids x of f F / sum of f^2, where f is how often x is looked up and F = (sum over all ids y but x, of every
    table, of f_y D_y) / M is what else its slot sees: a ratio of means over lookups, so that hot ids count as often as
    they are read. Exact for any chunk size and alignment, and with signs as without. Above 1, a slot is mostly trained
    by others; a table of many rare ids suffers more than one of few.

    Raises:
        UsageError: no table; widths that are not one a table; fewer than one slot.
    """
    foreign = _foreign_traffic(profiles, slots, _dims(profiles, embedding_dim))
    return [
        float((p.ids * p.counts * others).sum() / (p.ids * p.counts.astype(np.float64) ** 2).sum())
        for p, others in zip(profiles, foreign, strict=True)
    ]


def own_share(profiles: Profiles, slots: int, embedding_dim: int | Sequence[int]) -> list[float]:
    """For each table, at least this share of the traffic at a slot that a lookup reads is the id's own, in (0, 1].

    Mean over lookups of f / (f + F), with F as in `interference`. A lower bound on the expected share (Jensen: it is
    convex in F), and close to it where a slot serves many ids. Unlike a ratio of traffics, it is not ruled by the
    hottest ids nor by the rarest.

    Raises:
        UsageError: as `interference`.
    """
    foreign = _foreign_traffic(profiles, slots, _dims(profiles, embedding_dim))
    return [
        float((p.shares * p.counts / (p.counts + others)).sum()) for p, others in zip(profiles, foreign, strict=True)
    ]


def _foreign_traffic(profiles: Profiles, slots: int, dims: Sequence[int]) -> list[np.ndarray]:
    """For each table, for each count of its profile: the lookups that a slot of such an id sees from others."""
    whole_number("slots", slots, at_least=1)
    total = sum(p.lookups * dim for p, dim in zip(profiles, dims, strict=True))
    return [(total - p.counts * float(dim)) / slots for p, dim in zip(profiles, dims, strict=True)]


def _lengths(dim: int, chunk: int) -> dict[int, int]:
    """The lengths of a row's chunks, and how many there are of each."""
    whole, rest = divmod(dim, min(chunk, dim))
    return {min(chunk, dim): whole} | ({rest: 1} if rest else {})


def _dims(profiles: Profiles, embedding_dim: int | Sequence[int]) -> list[int]:
    if not profiles:
        raise UsageError("profiles must hold at least one table's, got none")
    dims = list(embedding_dim) if isinstance(embedding_dim, Sequence) else [embedding_dim] * len(profiles)
    if len(dims) != len(profiles):
        raise UsageError(f"embedding_dim must be one number or one a table, got {len(dims)} for {len(profiles)} tables")
    return [whole_number("embedding_dim", dim, at_least=1) for dim in dims]
