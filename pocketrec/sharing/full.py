"""Full tables: every row its own slots. The baseline, addressed like everything else: place = row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from pocketrec.errors import UsageError
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
        sizes = []
        for table in tables:
            if table.num_embeddings is None:
                raise UsageError(
                    f"table {table.name!r}: a full table needs num_embeddings; only hashed ones are open-ended"
                )
            sizes.append(table.num_embeddings * table.embedding_dim)
        *bases, total = accumulate(sizes, initial=0)
        return one_piece([exact_rows(t, t.num_embeddings or 0, b) for t, b in zip(tables, bases, strict=True)], total)
