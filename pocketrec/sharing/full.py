"""Full tables: every row its own slots. The baseline, addressed like everything else: place = row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from pocketrec.errors import UsageError
from pocketrec.ops import FeatureLayout, Rule
from pocketrec.sharing.table import Table


def exact_rows(table: Table, num_rows: int, base: int) -> FeatureLayout:
    """`num_rows` rows of their own from slot `base` on, row r serving id r."""
    d = table.embedding_dim
    return table.layout(rule=Rule.DIRECT, base=base, span=num_rows * d, chunk=d, align=d, places=num_rows)


@dataclass(frozen=True)
class Full:
    """row(x) = table[x]. Stores n * D slots a table; trains with row-sparse gradients."""

    @property
    def row_sparse(self) -> bool:
        return True

    def place(self, tables: Sequence[Table], memory_size: int, seed: int) -> tuple[list[FeatureLayout], int]:
        sizes = []
        for table in tables:
            if table.num_embeddings is None:
                raise UsageError(
                    f"table {table.name!r}: a full table needs num_embeddings; only hashed ones are open-ended"
                )
            sizes.append(table.num_embeddings * table.embedding_dim)
        *bases, total = accumulate(sizes, initial=0)
        return [exact_rows(t, t.num_embeddings or 0, base) for t, base in zip(tables, bases, strict=True)], total
