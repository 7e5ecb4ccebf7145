"""What a scheme may store: so many slots, or anything else that takes no more bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pocketrec.errors import UsageError
from pocketrec.ops.layout import SCALE_BLOCK


@dataclass(frozen=True)
class Budget:
    """Bytes, counted in slots of the memory.

    Args:
        slots: how many slots there may be where nothing else is kept.
        slot_bytes: of one: 4 in float32, 1.0625 in int8 (a scale for 64 slots counted).
        full_bytes: what compression is counted from, where that is known.
    """

    slots: int
    slot_bytes: float = 4.0
    full_bytes: float | None = None

    def reach(self, slots: int) -> float:
        """The compression of so many slots, two digits after the point, rounded down."""
        return math.floor(100 * (self.full_bytes or 0) / self.bytes_of(slots, 0)) / 100

    @property
    def bytes(self) -> int:
        """All that may be stored."""
        return int(self.slots * self.slot_bytes)

    @property
    def weight_bytes(self) -> float:
        """Of a learned weight beside the memory, which stays in float32 where that is int8."""
        return self.slot_bytes if _block(self.slot_bytes) == 1 else 4.0

    @classmethod
    def of_bytes(cls, count: float, slot_bytes: float) -> Budget:
        """As many slots as fit into so many bytes; in int8, whole blocks, each with its scale."""
        whole = _block(slot_bytes)
        return cls(int(count // (whole * slot_bytes)) * whole, slot_bytes)

    def after(self, stored_bytes: float) -> Budget:
        """What is left for slots beside pointers, maps, projections of that many bytes; perhaps less than none."""
        return Budget.of_bytes(self.slots * self.slot_bytes - stored_bytes, self.slot_bytes)

    def bytes_of(self, slots: int, weights: int) -> float:
        """What so many slots and learned weights take."""
        whole = _block(self.slot_bytes)
        return -(-slots // whole) * whole * self.slot_bytes + weights * self.weight_bytes

    def holds(self, slots: int, weights: int) -> bool:
        """Whether so many slots fit, and so many learned weights beside them."""
        return self.bytes_of(slots, weights) <= self.slots * self.slot_bytes

    def require(self, slots: int, what: str, weights: int | None = None) -> None:
        """Refuse a budget that cannot hold so many slots; with `weights`, whole blocks of them, and weights beside.

        Raises:
            BudgetError: says how many slots it takes, and which compression that is.
        """
        if weights is not None:
            whole = _block(self.slot_bytes)
            slots = math.ceil(self.bytes_of(slots, weights) / (whole * self.slot_bytes)) * whole
        if self.slots < slots:
            raise BudgetError(self, slots, what)


class BudgetError(UsageError):
    """A budget that cannot hold what a scheme keeps in any case; `least` slots can."""

    def __init__(self, budget: Budget, least: int, what: str) -> None:
        self.budget, self.least, self.what = budget, least, what
        reach = f" (at most {budget.reach(least):g})" if budget.reach(least) >= 1 else ""
        bytes_ = math.ceil(budget.bytes_of(least, 0))
        super().__init__(
            f"a memory of {max(budget.slots, 0)} slots cannot hold {what}: it takes at least {least}, {bytes_} bytes; "
            f"raise memory_size or memory_bytes, or lower the compression{reach}"
        )


def _block(slot_bytes: float) -> int:
    """Slots that share a scale."""
    return 1 if slot_bytes == int(slot_bytes) else SCALE_BLOCK
