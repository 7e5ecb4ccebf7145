"""HashedNets: a hashed slot and sign for every element (Chen et al., ICML 2015, arXiv 1504.04788)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pocketrec.sharing.budget import Budget
from pocketrec.sharing.robe import Robe
from pocketrec.sharing.scheme import Placement, Shared
from pocketrec.sharing.table import Table


@dataclass(frozen=True)
class HashedNets(Shared):
    """row(x)[i] = g(table, x, i) * memory[h(table, x, i) mod M], g = +1 or -1.

    ROBE with chunks of one element, and signed. One memory serves all tables, where the paper gives each matrix its
    own. Stores M slots, whatever the tables' sizes; a row costs D hashes and D cache lines.
    """

    def place(self, tables: Sequence[Table], budget: Budget, seed: int) -> Placement:
        return Robe(chunk_size=1, signed=True).place(tables, budget, seed)
