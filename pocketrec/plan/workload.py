"""What is to be planned for: tables by size, and how often their rows are asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pocketrec.errors import UsageError, whole_number
from pocketrec.theory import FrequencyProfile

TABLES_RULE = "wants ROWSxWIDTH, comma-separated, such as 1000000x16,5000x16"
ASSUMED_EXPONENT, ASSUMED_LOOKUPS_A_ROW = 1.0, 10
_TABLE = re.compile(r"(\d[\d_]*)[xX](\d[\d_]*)")


@dataclass(frozen=True)
class TableSize:
    """A virtual table by its size; needs no torch, as `pocketrec.Table` does."""

    name: str
    num_embeddings: int
    """Rows."""
    embedding_dim: int
    """D."""

    def __post_init__(self) -> None:
        whole_number(f"table {self.name!r}: num_embeddings", self.num_embeddings, at_least=1)
        whole_number(f"table {self.name!r}: embedding_dim", self.embedding_dim, at_least=1)

    @property
    def num_elements(self) -> int:
        """Rows times D."""
        return self.num_embeddings * self.embedding_dim


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Tables to plan for. Raises UsageError for none, and for profiles that do not match them.

    Args:
        name: for the title.
        tables: one a feature.
        profiles: how often the ids of each table are looked up.
        rows_are: the row space in words: which values have a row, and what another count would say.
        frequencies_are: where the profiles come from.
        kept_rows: rows of min-count full tables, where that is known.
        examples: of an epoch, where that is known.
    """

    name: str
    tables: tuple[TableSize, ...]
    profiles: tuple[FrequencyProfile, ...]
    rows_are: str = "as given"
    frequencies_are: str = "as given"
    kept_rows: int | None = None
    examples: int | None = None

    def __post_init__(self) -> None:
        if not self.tables:
            raise UsageError("tables: there are none to plan for")
        if len(self.profiles) != len(self.tables):
            raise UsageError(f"profiles: must be one a table, got {len(self.profiles)} for {len(self.tables)} tables")
        for table, profile in zip(self.tables, self.profiles, strict=True):
            if profile.distinct > table.num_embeddings:
                raise UsageError(
                    f"profiles: that of table {table.name!r} counts {profile.distinct} ids, "
                    f"the table has {table.num_embeddings} rows: they are of different tables"
                )

    @property
    def num_rows(self) -> int:
        """Of all tables."""
        return sum(table.num_embeddings for table in self.tables)

    @property
    def num_elements(self) -> int:
        """Parameters of the full tables."""
        return sum(table.num_elements for table in self.tables)

    @property
    def widths(self) -> list[int]:
        """D of each table."""
        return [table.embedding_dim for table in self.tables]

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(rows, D) of each table, as theory takes them."""
        return [(table.num_embeddings, table.embedding_dim) for table in self.tables]


def parse_tables(text: str) -> Workload:
    """`1000000x16,5000x16` -> two tables, of assumed frequencies.

    Raises UsageError for anything else, saying which part is wrong and how.
    """
    tables = []
    for number, part in enumerate(text.split(",")):
        told = _TABLE.fullmatch(part.strip())
        rows, width = (int(digits) for digits in told.groups()) if told else (0, 0)
        if not rows or not width:
            raise UsageError(f"tables: {TABLES_RULE}, both at least 1; part {number + 1} is {part.strip()!r}")
        tables.append(TableSize(f"table_{number}", rows, width))
    lookups = ASSUMED_LOOKUPS_A_ROW * max(table.num_embeddings for table in tables)
    return Workload(
        name=f"{len(tables)} table{'s' * (len(tables) > 1)}",
        tables=tuple(tables),
        profiles=tuple(FrequencyProfile.zipf(t.num_embeddings, ASSUMED_EXPONENT, lookups) for t in tables),
        frequencies_are=f"assumed: Zipf, exponent {ASSUMED_EXPONENT:g}, {lookups:,} lookups a table; "
        "--data has a log's own",
    )
