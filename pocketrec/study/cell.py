"""A cell of a study: one sharing scheme at one compression."""

from __future__ import annotations

from typing import NamedTuple

from pocketrec.study.rows import Row


class Cell(NamedTuple):
    """What is compared; `compression` is the one asked for."""

    scheme: str
    compression: float

    @property
    def name(self) -> str:
        """For people: `robe 100x`."""
        return self.scheme if self == FULL else f"{self.scheme} {self.compression:g}x"

    @property
    def slug(self) -> str:
        """For file names: `robe-100x`."""
        return self.name.replace(" ", "-")


FULL = Cell("full", 1.0)


def cell_of(row: Row) -> Cell:
    """Which cell a row of any table is about."""
    return Cell(row["scheme"], float(row["compression"]))
