"""How large the memory is: from a compression, a size, an epsilon, or the device it must train on."""

from __future__ import annotations

from dataclasses import dataclass

from pocketrec import theory
from pocketrec.errors import UsageError, real_number, whole_number
from pocketrec.hashing import SLOT_LIMIT
from pocketrec.plan.memory import ELEMENT_BYTES, STATE_BYTES
from pocketrec.plan.workload import Workload

DELTA = 0.05
"""Of the bounds for an epsilon: they hold with probability 1 - delta."""
WAYS = "compression, memory_bytes and epsilon"


@dataclass(frozen=True)
class Budget:
    """The memory, and how it came about."""

    given: str
    """What the size follows from, in words."""
    slots: int
    bytes: int
    compression: float
    """Bytes of the full tables / bytes."""
    slots_a_row: float
    epsilon: float | None
    """What `theory.slots_for_inner_products` says for so many slots: an additive error, of *some* sketch of that size;
    None where it says nothing."""


def budget(
    workload: Workload,
    *,
    compression: float | None = None,
    memory_bytes: int | None = None,
    epsilon: float | None = None,
    device_bytes: int | None = None,
) -> Budget:
    """The memory that one of three ways asks for; with none of them, the largest that trains on the device with Adam.

    Raises:
        UsageError: none or several of the ways; one that makes no sense, asks for more than the full tables, for fewer
            slots than two rows, or for more slots than hashes reach.
    """
    told = [value is not None for value in (compression, memory_bytes, epsilon)]
    if sum(told) > 1 or (not any(told) and device_bytes is None):
        got = "none" if not any(told) else "several"
        raise UsageError(f"budget: give one of {WAYS} (or none, and a device that training must fit), got {got}")
    if compression is not None:
        ratio = real_number("compression, full size / shared size,", compression, "[1, inf)")
        return _checked(workload, f"{ratio:,.6g}x", int(workload.num_elements / ratio))
    if memory_bytes is not None:
        count = whole_number("memory_bytes", memory_bytes, at_least=1)
        return _checked(workload, f"{count:,} bytes", count // ELEMENT_BYTES)
    if epsilon is not None:
        slots = theory.slots_for_inner_products(workload.sizes, epsilon, DELTA)
        return _checked(workload, f"epsilon {epsilon:g}, probability {1 - DELTA:g}", slots)
    assert device_bytes is not None
    slots = device_bytes // (2 * ELEMENT_BYTES + STATE_BYTES["adam"])
    return _checked(workload, "the largest that trains on the device with Adam", min(slots, SLOT_LIMIT - 1))


def _checked(workload: Workload, given: str, slots: int) -> Budget:
    full, widest = workload.num_elements, max(workload.widths)
    if slots >= full:
        raise UsageError(
            f"budget: {given} is a memory of {slots:,} slots, not below the full tables' {full:,}: there is nothing to "
            "share; keep the tables, or ask for a smaller memory"
        )
    if slots < 2 * widest:
        raise UsageError(
            f"budget: {given} is a memory of {slots:,} slots, too few for two rows of D={widest}: ask for a "
            f"larger one, a compression of at most {full / (2 * widest):,.6g}"
        )
    if slots >= SLOT_LIMIT:
        raise UsageError(
            f"budget: {given} is a memory of {slots:,} slots, hashes reach fewer than 2^31: ask for a smaller "
            f"one, a compression of at least {full / (SLOT_LIMIT - 1):,.4g}"
        )
    return Budget(
        given=given,
        slots=slots,
        bytes=slots * ELEMENT_BYTES,
        compression=full / slots,
        slots_a_row=slots / workload.num_rows,
        epsilon=theory.epsilon_reached(workload.sizes, slots, DELTA),
    )
