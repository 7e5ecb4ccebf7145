"""Whose gradients a slot sees: how much of what trains it comes from the id that is looked up.

*Derived*, for independent and even starts (the mixing hash), ids seen in the profiles, one memory for all tables. The
traffic of an id is how often it is looked up.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pocketrec.errors import whole_number
from pocketrec.theory.rows import Profiles, chunk_lengths, widths

_STEP = 0.1
"""Of the logarithmic grid that `own_share` integrates on."""
_SMALLEST, _LARGEST = -21.0, 4.0
"""Logarithms between which exp(-u) du weighs anything."""


def interference(profiles: Profiles, slots: int, embedding_dim: int | Sequence[int]) -> list[float]:
    """For each table, traffic of other ids / of the id itself, expected at a slot that a lookup reads.

    sum over ids x of f F / sum of f^2, where f is how often x is looked up and F = (sum over all ids y but x, of every
    table, of f_y D_y) / M is what else its slot sees. A ratio of means over lookups, so that ids count as often as
    they are read; hot ids rule it. Exact for any chunk size and alignment, and with signs as without.

    Raises:
        UsageError: no table; widths that are not one a table; fewer than one slot.
    """
    dims = widths(profiles, embedding_dim)
    whole_number("slots", slots, at_least=1)
    total = sum(profile.lookups * dim for profile, dim in zip(profiles, dims, strict=True))
    ratios = []
    for profile, dim in zip(profiles, dims, strict=True):
        counts = profile.counts.astype(np.float64)
        foreign = (total - counts * dim) / slots
        ratios.append(float((profile.ids * counts * foreign).sum() / (profile.ids * counts**2).sum()))
    return ratios


def own_share(profiles: Profiles, slots: int, embedding_dim: int | Sequence[int], chunk_size: int = 1) -> list[float]:
    """For each table, the share of a slot's traffic that is the id's own, expected over lookups: in (0, 1].

    The mean over lookups of f / (f + F), where F is the traffic of other ids at the slot. Below a half, slots are
    mostly trained by others. Unlike a ratio of means, neither the hottest ids rule it nor the rarest.

    F is rarely near its mean: hot ids bring much of it to few slots. So the mean is taken exactly, as the integral of
    exp(-u) E exp(-u F / f) du, and E exp(-s F) is a product over chunks of 1 - z/M (1 - exp(-s f_y)). Chunks matter
    only where a row's own may meet, which is hardly ever.

    Raises:
        UsageError: as `interference`; chunk_size below 1; a memory no longer than a chunk.
    """
    dims = widths(profiles, embedding_dim)
    chunk = whole_number("chunk_size", chunk_size, at_least=1)
    whole_number("slots", slots, at_least=min(chunk, max(dims)) + 1)
    # On a logarithmic grid, f only shifts u to s = u / f.
    most = max(int(profile.counts[-1]) for profile in profiles)
    shifts = np.arange(int(np.log(most) / _STEP) + 2)
    u = np.exp(np.arange(_SMALLEST, _LARGEST, _STEP))
    s = np.exp(_SMALLEST + _STEP * np.arange(-int(shifts[-1]), len(u)))
    logs = np.zeros(len(s))
    for profile, dim in zip(profiles, dims, strict=True):
        logs += [float(profile.ids @ _log_missed(profile.counts * each, dim, chunk, slots)) for each in s]
    missed = np.lib.stride_tricks.sliding_window_view(np.exp(logs), len(u))[::-1]
    shares = []
    for profile, dim in zip(profiles, dims, strict=True):
        weights = _STEP * u * np.exp(-u - _log_missed(u, dim, chunk, slots))  # without the id itself
        by_traffic = missed @ weights
        found = np.interp(np.log(profile.counts) / _STEP, shifts, by_traffic)
        shares.append(min(float(profile.shares @ found), 1.0))
    return shares


def active_load(profiles: Profiles, slots: int, embedding_dim: int | Sequence[int], batch_size: int) -> float:
    """How many elements of rows looked up in one batch a slot serves, on average: the load of one step of SGD.

    (sum over ids, of every table, of D (1 - (1 - p)^B)) / M, for ids drawn B times a table with probability p = their
    share of its lookups; an id counts once a batch. Far below N/M where few ids take most lookups.

    Raises:
        UsageError: no table; widths that are not one a table; a batch or memory of less than 1.
    """
    dims = widths(profiles, embedding_dim)
    number = whole_number("batch_size", batch_size, at_least=1)
    active = 0.0
    for profile, dim in zip(profiles, dims, strict=True):
        share = np.minimum(profile.counts / profile.lookups, 1 - 1e-16)
        active += dim * float(profile.ids @ -np.expm1(number * np.log1p(-share)))
    return active / whole_number("slots", slots, at_least=1)


def _log_missed(exponents: np.ndarray, dim: int, chunk: int, slots: int) -> np.ndarray:
    """log E exp(-exponent, as often as a row of that width reads one given slot)."""
    reads = -np.expm1(-exponents)
    return sum(
        (times * np.log1p(-length / slots * reads) for length, times in chunk_lengths(dim, chunk).items()),
        np.zeros(len(exponents)),
    )
