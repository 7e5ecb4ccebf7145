"""What every sharing scheme answers: which slots serve which rows, and how many slots that takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pocketrec.ops import FeatureLayout
from pocketrec.sharing.budget import Budget
from pocketrec.sharing.recovery import Recovery
from pocketrec.sharing.table import Table


@dataclass(frozen=True)
class Placement:
    """Where the rows of some tables lie.

    Args:
        pieces: of each table, the layouts of its pieces, side by side; one piece, the row itself, for most schemes.
        slots: of the memory.
        recovery: what happens beside the lookup, if anything.
    """

    pieces: tuple[tuple[FeatureLayout, ...], ...]
    slots: int
    recovery: Recovery | None = None


class Scheme(Protocol):
    """A rule that recovers rows. Schemes are frozen dataclasses: configuration only, no state."""

    @property
    def row_sparse(self) -> bool:
        """Whether each row has slots of its own, so that gradients are row-sparse and no budget applies."""
        ...

    def place(self, tables: Sequence[Table], budget: Budget, seed: int) -> Placement:
        """Place the tables within the budget.

        Raises:
            UsageError: the budget is too small for the scheme, or too large for its addresses.
        """
        ...


class Shared:
    """What schemes with a budget have in common."""

    @property
    def row_sparse(self) -> bool:
        """Gradients are dense, as the memory is small."""
        return False


def one_piece(layouts: Sequence[FeatureLayout], slots: int, recovery: Recovery | None = None) -> Placement:
    """The placement of whole rows."""
    return Placement(tuple((layout,) for layout in layouts), slots, recovery)
