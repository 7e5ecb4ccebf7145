"""Low rank: few numbers a row, and a matrix for each table that makes rows of them (ALBERT, arXiv 1909.11942)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from pocketrec.errors import one_of, whole_number
from pocketrec.sharing.budget import Budget
from pocketrec.sharing.projection import projected, projections, stored, useful
from pocketrec.sharing.scheme import Placement, Shared
from pocketrec.sharing.table import Table

ROWS = ("exact", "hashed")


@dataclass(frozen=True)
class LowRank(Shared):
    """row(x) = A[x] @ B: r numbers of each id's own, times an (r, D) matrix of the table's.

    No two ids share a row, at any rank. Stores (n + D) * r numbers a table, or the n * D of its rows where that is
    no more; the least is rank 1, near D times smaller than the full tables. The wider a row, the further it reaches.

    Args:
        rank: r; None for the largest that fits all tables, and what is left widens the smallest.
        rows: "exact", or "hashed", which reaches any compression: A[hash(x) mod m], m what the table's share of the
            budget holds. Shares are those of `HashingTrick`. A table that fits into its share is kept whole; then,
            with rank None, r is the largest with which every id has numbers of its own, or 1.
    """

    rank: int | None = None
    rows: str = "exact"

    def __post_init__(self) -> None:
        if self.rank is not None:
            whole_number("rank", self.rank, at_least=1)
        one_of("rows", self.rows, ROWS)

    def place(self, tables: Sequence[Table], budget: Budget, seed: int) -> Placement:
        if self.rows == "hashed":
            widths, rows = self._hashed(tables, budget)
            return projected(tables, widths, rows, seed)
        rows = [t.known_rows("low rank with rows='exact'") for t in tables]
        return projected(tables, self._exact(tables, budget), rows, seed)

    def _exact(self, tables: Sequence[Table], budget: Budget) -> list[int]:
        """The width of each table's rows."""

        def of_rank(rank: int) -> list[int]:
            return [useful(t, rank, budget) for t in tables]

        def too_large(rank: int) -> bool:
            return not budget.holds(*stored(tables, of_rank(rank)))

        least = self.rank or 1
        slots, weights = stored(tables, of_rank(least))
        budget.require(slots, f"rows of rank {least}", weights)
        if self.rank is not None:
            return of_rank(self.rank)
        ranks = range(1, max(t.embedding_dim for t in tables) + 1)
        return _widened(tables, of_rank(bisect_right(ranks, False, key=too_large)), budget)

    def _hashed(self, tables: Sequence[Table], budget: Budget) -> tuple[list[int], list[int]]:
        """The width and number of each table's rows: a row each; then the smallest choose first, as in `shares`."""
        narrow = [min(self.rank or 1, t.embedding_dim) for t in tables]
        budget.require(sum(narrow), f"a row for each of {len(tables)} tables", projections(tables, narrow))
        least = [budget.bytes_of(w, projections([t], [w])) for t, w in zip(tables, narrow, strict=True)]
        widths, rows = list(narrow), [1] * len(tables)
        left = budget.bytes_of(budget.slots, 0) - sum(least)
        if left < 0:  # blocks of 64 integers, which one row each does not fill, were rounded up table by table
            return widths, rows
        for position, i in enumerate(_by_size(tables)):
            room = least[i] + max(0.0, left) / (len(tables) - position)
            widths[i], rows[i] = self._within(tables[i], room, budget)
            left -= budget.bytes_of(widths[i] * rows[i], projections([tables[i]], [widths[i]])) - least[i]
        return widths, rows

    def _within(self, table: Table, room: float, budget: Budget) -> tuple[int, int]:
        """The width and number of the rows of one table that may store so many bytes."""
        n, d = table.id_limit, table.embedding_dim
        if budget.bytes_of(n * d, 0) <= room:
            return d, n
        exact = bisect_right(range(1, d), room, key=lambda w: budget.bytes_of(n * w, w * d))
        width = min(self.rank or max(exact, 1), d)
        left = room - projections([table], [width]) * budget.weight_bytes
        return width, min(n, max(1, Budget.of_bytes(left, budget.slot_bytes).slots // width))


def _by_size(tables: Sequence[Table]) -> list[int]:
    sizes = [t.id_limit * t.embedding_dim for t in tables]
    return sorted(range(len(tables)), key=lambda i: sizes[i])


def _widened(tables: Sequence[Table], widths: Sequence[int], budget: Budget) -> list[int]:
    """Each table, the smallest first, as wide as what is left allows."""
    own = [_stored_bytes(t, w, budget) for t, w in zip(tables, widths, strict=True)]
    wide, left = list(widths), max(0.0, budget.bytes_of(budget.slots, 0) - sum(own))
    for i in _by_size(tables):
        wide[i] = _widest(tables[i], widths[i], own[i] + left, budget)
        left -= _stored_bytes(tables[i], wide[i], budget) - own[i]
    return wide


def _widest(table: Table, least: int, room: float, budget: Budget) -> int:
    choice = range(least, table.embedding_dim + 1)
    fitting = bisect_right(choice, room, key=lambda width: _stored_bytes(table, width, budget))
    return useful(table, choice[fitting - 1], budget)


def _stored_bytes(table: Table, width: int, budget: Budget) -> float:
    return budget.bytes_of(*stored([table], [useful(table, width, budget)]))
