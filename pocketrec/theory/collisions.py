"""Which lookups meet another id in the memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pocketrec.errors import whole_number
from pocketrec.theory.rows import Profiles, chunk_lengths, widths


def collision_mass(
    profiles: Profiles, slots: int, embedding_dim: int | Sequence[int], chunk_size: int, *, align: int = 1
) -> list[float]:
    """For each table, the expected share of its chunk reads that share a slot with a chunk of another id seen.

    1 - product over the chunks b of all other ids, of every table, of (1 - P(overlap with b)). Two chunks of z and z'
    slots overlap with probability (ceil(z/a) + ceil(z'/a) - 1) / (M // a) for align a: (z + z' - 1) / M for a = 1.
    *Derived*, for independent and even starts (the mixing hash); the linear hash has fewer for consecutive ids.

    Reads are weighted by frequency, which changes nothing on average: where a chunk lies does not depend on how often
    it is read. At high compression this is 1 for every table: `interference` and `own_share` say more there.

    Args:
        profiles: one a table; one memory serves all of them.
        slots: M.
        embedding_dim: D, of all tables or of each.
        chunk_size: Z.
        align: starts are multiples of it, as in `Robe`.

    Raises:
        UsageError: no table; widths that are not one a table; an argument below 1; a memory shorter than two chunks.
    """
    dims = widths(profiles, embedding_dim)
    chunk = whole_number("chunk_size", chunk_size, at_least=1)
    longest = max(min(chunk, max(dims)), whole_number("align", align, at_least=1))
    places = whole_number("slots", slots, at_least=2 * longest) // align
    rows = [chunk_lengths(dim, chunk) for dim in dims]

    def missed(length: int, others: Sequence[int]) -> float:
        """The probability that a chunk meets none, of so many other ids of each table."""
        log_free = 0.0
        for ids, row in zip(others, rows, strict=True):
            for other_length, times in row.items():
                reach = -(-length // align) - (-other_length // align) - 1
                log_free += ids * times * np.log1p(-min(reach / places, 1 - 1e-16))
        return float(np.exp(log_free))

    masses = []
    for own, row in enumerate(rows):
        others = [profile.distinct - (table == own) for table, profile in enumerate(profiles)]
        free = sum(times * missed(length, others) for length, times in row.items())
        masses.append(1 - free / sum(row.values()))
    return masses
