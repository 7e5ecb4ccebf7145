"""Full tables: every row its own slots. The baseline, addressed like everything else: place = row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from pocketrec.ops import FeatureLayout, Rule
from pocketrec.sharing.budget import Budget
from pocketrec.sharing.scheme import Placement, one_piece
from pocketrec.sharing.table import Table


def exact_rows(table: Table, num_rows: int, base: int, width: int | None = None) -> FeatureLayout:
    """`num_rows` rows of their own from slot `base` on, row r serving id r; as wide as the table's unless told."""
    d = table.embedding_dim if width is None else width
    region = {"base": base, "span": num_rows * d, "places": num_rows}
    return table.layout(rule=Rule.DIRECT, num_embeddings=num_rows, dim=d, chunk=d, align=d, **region)


@dataclass(frozen=True)
class Full:
    """row(x) = table[x]. Stores n * D slots a table; trains with row-sparse gradients."""

    @property
    def row_sparse(self) -> bool:
        return True

    def place(self, tables: Sequence[Table], budget: Budget, seed: int) -> Placement:
        rows = [table.known_rows("a full table") for table in tables]
        *bases, total = accumulate((n * t.embedding_dim for n, t in zip(rows, tables, strict=True)), initial=0)
        return one_piece([exact_rows(*each) for each in zip(tables, rows, bases, strict=True)], total)
