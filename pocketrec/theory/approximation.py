"""How much memory suffices for a (1 +- epsilon) approximation of the tables: Johnson-Lindenstrauss, and count-sketch.

*Paper*: the abstract claims upper bounds on the memory for (1 +- epsilon) approximations of the embedding table, and
that exponentially fewer parameters suffice. Its theorems and constants were not at hand; none of what follows is them.

*Derived*, the reading taken here: each column x of a table (n numbers) is stored as Sx (k numbers), where S is a random
matrix that a hash computes, so that it takes no storage. An entry of the table is the inner product of the column with
a basis vector. A table of n rows then takes D k numbers instead of D n, and k grows with log n: exponentially fewer.
The error is epsilon times the norm of the whole *column*, so "approximation" says nothing about a single entry that is
small beside its column.

Every function takes tables as (n, D) pairs and adds up D min(k, n): a column shorter than its sketch is kept as it is.
All raise UsageError unless 0 < epsilon < 1, 0 < delta < 1, and every table has a row and a column.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from pocketrec.errors import UsageError, real_number, whole_number

Tables = Sequence[tuple[int, int]]


def slots_for_norms(tables: Tables, epsilon: float, delta: float = 0.05) -> int:
    """Slots with which every column's squared norm is within a factor 1 +- epsilon, with probability 1 - delta.

    *Relative* error; it holds for the norm, too. k = 2 ln(2 C / delta) / (epsilon^2/2 - epsilon^3/3) for C columns in
    all: whatever the number of rows. *Others*: Achlioptas, J. Comput. Syst. Sci. 66 (2003), for S of independent
    +-1/sqrt(k): each tail of one vector is at most exp(-k/2 (epsilon^2/2 - epsilon^3/3)); then a union over columns.
    """
    _check(tables, epsilon, delta)
    return _dense(tables, epsilon, 2 * sum(dim for _, dim in tables) / delta)


def slots_for_inner_products(tables: Tables, epsilon: float, delta: float = 0.05) -> int:
    """Slots with which every entry, and every inner product of two columns of a table, is right within epsilon |x||y|.

    *Additive* error; all of them at once with probability 1 - delta. For an entry, |x| is its column's norm, |y| = 1.
    k = 2 ln(4 P / delta) / (epsilon^2/2 - epsilon^3/3) for P = sum of n D + D(D+1)/2 inner products.
    *Others*: Achlioptas 2003 as in `slots_for_norms`, for x/|x| + y/|y| and x/|x| - y/|y| (polarisation).
    Reading one entry back takes k reads: this is what *some* memory of that size can do, not what ROBE does.
    """
    _check(tables, epsilon, delta)
    pairs = sum(rows * dim + dim * (dim + 1) // 2 for rows, dim in tables)
    return _dense(tables, epsilon, 4 * pairs / delta)


MEDIAN_BUCKETS = 8
"""Times 1/epsilon^2: buckets a hash of `slots_for_entries`; about what makes its slots fewest."""
_MEDIAN_RATE = math.log(4 / math.sqrt(7))
"""Relative entropy of 1/2 against 1/8, in nats."""


def slots_for_entries(tables: Tables, epsilon: float, delta: float = 0.05) -> int:
    """Slots with which every entry is right within epsilon |its column|, read as the median of r hashed slots.

    *Additive* error; all entries at once with probability 1 - delta. k = r ceil(8/epsilon^2) with
    r = ln(sum of n D / delta) / ln(4/sqrt(7)): about five times `slots_for_inner_products`, for r reads an entry.
    *Others*: count-sketch (Charikar, Chen & Farach-Colton, ICALP 2002): one hash is off with probability at most 1/8
    (Chebyshev), the median only where half of them are (Chernoff). The constants are worked out here.
    """
    _check(tables, epsilon, delta)
    hashes = math.ceil(math.log(sum(rows * dim for rows, dim in tables) / delta) / _MEDIAN_RATE)
    return _kept(tables, hashes * math.ceil(MEDIAN_BUCKETS / epsilon**2))


def slots_for_one_entry(tables: Tables, epsilon: float, delta: float = 0.05) -> int:
    """Slots with which *any one* entry is right within epsilon |its column| with probability 1 - delta, by one hash.

    *Additive* error; of all entries, a share delta may be off. k = 1 / (delta epsilon^2). *Others*: count-sketch with
    one hash, by Chebyshev from its variance (|x|^2 - entry^2) / k. One read an element, as ROBE does it; then no
    logarithm of n makes all entries right at once.
    """
    _check(tables, epsilon, delta)
    return _kept(tables, math.ceil(1 / (delta * epsilon**2)))


def epsilon_reached(
    tables: Tables,
    slots: int,
    delta: float = 0.05,
    slots_for: Callable[[Tables, float, float], int] = slots_for_inner_products,
) -> float | None:
    """The smallest epsilon for which so many slots suffice by one of the functions above; 0 where they hold the tables.

    None where the bound asks for more slots at every epsilon below 1: it then says nothing about this memory.
    """
    whole_number("slots", slots, at_least=1)
    _check(tables, 0.5, delta)
    if slots >= sum(rows * dim for rows, dim in tables):
        return 0.0
    low, high = 0.0, math.nextafter(1.0, 0.0)
    if slots_for(tables, high, delta) > slots:
        return None
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if slots_for(tables, middle, delta) <= slots else (middle, high)
    return high


def _dense(tables: Tables, epsilon: float, events_over_delta: float) -> int:
    return _kept(tables, math.ceil(2 * math.log(events_over_delta) / (epsilon**2 / 2 - epsilon**3 / 3)))


def _kept(tables: Tables, length: int) -> int:
    return sum(dim * min(length, rows) for rows, dim in tables)


def _check(tables: Tables, epsilon: float, delta: float) -> None:
    real_number("epsilon", epsilon, "(0, 1)")
    real_number("delta", delta, "(0, 1)")
    if not tables:
        raise UsageError("tables must hold at least one (rows, dim), got none")
    for number, (rows, dim) in enumerate(tables):
        whole_number(f"rows of table {number}", rows, at_least=1)
        whole_number(f"dim of table {number}", dim, at_least=1)
