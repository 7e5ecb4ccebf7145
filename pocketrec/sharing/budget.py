"""What a scheme may store: so many slots, or anything else that takes no more bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pocketrec import hashing
from pocketrec.errors import UsageError
from pocketrec.ops.layout import SCALE_BLOCK
from pocketrec.sharing.table import Table


@dataclass(frozen=True)
class Budget:
    """Bytes, counted in slots of the memory.

    Args:
        slots: how many slots there may be where nothing else is kept.
        slot_bytes: of one: 4 in float32, 1.0625 in int8 (a scale for 64 slots counted).
    """

    slots: int
    slot_bytes: float = 4.0

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

    def require_for(self, tables: Sequence[Table], slots: int, weights: int, what: str) -> None:
        """Refuse a budget that cannot hold so many slots, and weights beside them.

        Raises:
            UsageError: says how many slots it takes, and which compression that is.
        """
        whole = _block(self.slot_bytes)
        least = math.ceil(self.bytes_of(slots, weights) / (whole * self.slot_bytes)) * whole
        full = [4 * (t.num_embeddings or 0) * t.embedding_dim for t in tables]
        reach = math.floor(100 * sum(full) / (least * self.slot_bytes)) / 100
        self.require(least, f"{what} (compression can be at most {reach:g})" if all(full) else what)

    def require(self, slots: int, what: str) -> None:
        """Refuse a budget that cannot hold `slots` slots, or that is too large for a hash to address.

        Raises:
            UsageError: says how many slots it takes.
        """
        if self.slots < slots:
            raise UsageError(
                f"a memory of {max(self.slots, 0)} slots cannot hold {what}: it takes at least {slots}; "
                "raise memory_size or lower the compression"
            )
        if self.slots >= hashing.SLOT_LIMIT:
            raise UsageError(f"a hashed memory must have fewer than 2^31 slots, got {self.slots}: compress more")


def _block(slot_bytes: float) -> int:
    """Slots that share a scale."""
    return 1 if slot_bytes == int(slot_bytes) else SCALE_BLOCK
