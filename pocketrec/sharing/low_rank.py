"""Low rank: few numbers a row, and a matrix for each table that makes rows of them (ALBERT, arXiv 1909.11942)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from pocketrec.errors import UsageError, nearest, whole_number
from pocketrec.sharing.budget import Budget
from pocketrec.sharing.projection import projected, projections, stored, useful
from pocketrec.sharing.scheme import Placement, Shared
from pocketrec.sharing.shares import cheapest, shares
from pocketrec.sharing.table import Table

ROWS = ("exact", "hashed")


@dataclass(frozen=True)
class LowRank(Shared):
    """row(x) = A[x] @ B: r numbers of each id's own, times an (r, D) matrix of the table's.

    No two ids share a row, at any rank. Stores (n + D) * r numbers a table, or the n * D of its rows where that is
    no more; the least is rank 1, near D times smaller than the full tables. The wider a row, the further it reaches.

    Args:
        rank: r; None for the largest that fits, plus one for the tables, smallest first, for which that fits too.
        rows: "exact": every id has its own. "hashed": A[hash(x) mod m], m = min(n, the table's share of the budget)
            as in `HashingTrick`, so that any compression is reached.
    """

    rank: int | None = None
    rows: str = "exact"

    def __post_init__(self) -> None:
        if self.rank is not None:
            whole_number("rank", self.rank, at_least=1)
        if self.rows not in ROWS:
            raise UsageError(f"rows: unknown name {self.rows!r}: {nearest(self.rows, ROWS)}")

    def place(self, tables: Sequence[Table], budget: Budget, seed: int) -> Placement:
        if self.rows == "hashed":
            return self._hashed(tables, budget, seed)
        rows = [t.known_rows("low rank with rows='exact'") for t in tables]
        return projected(tables, self._widths(tables, budget), rows, seed)

    def _widths(self, tables: Sequence[Table], budget: Budget) -> list[int]:
        """Of each table's rows, where every id has its own."""

        def of_rank(rank: int) -> list[int]:
            return [useful(t, rank, budget) for t in tables]

        def fits(rank: int) -> bool:
            return budget.holds(*stored(tables, of_rank(rank)))

        least = self.rank or 1
        budget.require_for(tables, *stored(tables, of_rank(least)), f"rows of rank {least}")
        if self.rank is not None:
            return of_rank(self.rank)
        ranks = range(1, max(t.embedding_dim for t in tables) + 1)
        rank = bisect_right(ranks, False, key=lambda r: not fits(r))
        return _raised(tables, of_rank(rank), of_rank(rank + 1), budget)

    def _hashed(self, tables: Sequence[Table], budget: Budget, seed: int) -> Placement:
        widths = [useful(t, self.rank or 1, budget) for t in tables]
        weights = projections(tables, widths)
        budget.require_for(tables, sum(widths), weights, f"one row for each of {len(tables)} tables")
        width_of = dict(zip(tables, widths, strict=True))
        left = budget.after(weights * budget.weight_bytes)
        return projected(tables, widths, shares(tables, left.slots, width_of.__getitem__), seed)


def _raised(tables: Sequence[Table], widths: list[int], more: list[int], budget: Budget) -> list[int]:
    """The wider rows for as many tables as what is left allows."""

    def stored_bytes(table: Table, width: int) -> float:
        return budget.bytes_of(*stored([table], [width]))

    now = [stored_bytes(t, w) for t, w in zip(tables, widths, strict=True)]
    then = [stored_bytes(t, w) for t, w in zip(tables, more, strict=True)]
    room = budget.bytes_of(budget.slots, 0) - sum(now)
    chosen = cheapest([b - a for a, b in zip(now, then, strict=True)], room)
    return [b if wider else a for a, b, wider in zip(widths, more, chosen, strict=True)]
