"""What every sharing scheme answers: which slots serve which rows, and how many slots that takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pocketrec import hashing
from pocketrec.errors import UsageError
from pocketrec.ops import FeatureLayout
from pocketrec.sharing.table import Table


class Scheme(Protocol):
    """A rule that recovers rows. Schemes are frozen dataclasses: configuration only, no state."""

    @property
    def row_sparse(self) -> bool:
        """Whether each row has slots of its own, so that gradients are row-sparse and no budget applies."""
        ...

    def place(self, tables: Sequence[Table], memory_size: int, seed: int) -> tuple[list[FeatureLayout], int]:
        """One layout row a table, and the slots they use together (at most `memory_size`).

        Raises:
            UsageError: the budget is too small for the scheme, or too large for its addresses.
        """
        ...


def check_budget(memory_size: int, needed: int, what: str) -> None:
    """Refuse a budget in which a scheme cannot place even one piece."""
    if memory_size < needed:
        raise UsageError(
            f"a memory of {memory_size} slots cannot hold {what}: it takes at least {needed}; "
            "raise memory_size or lower the compression"
        )
    if memory_size >= hashing.SLOT_LIMIT:
        raise UsageError(f"a hashed memory must have fewer than 2^31 slots, got {memory_size}: compress more")
