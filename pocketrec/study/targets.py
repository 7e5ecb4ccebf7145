"""Quality targets: an AUC such as `0.80`, or `full-0.001`, so much below the full tables of the same study."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pocketrec.errors import UsageError

_FULL = "full"


@dataclass(frozen=True)
class Target:
    """A validation AUC to reach."""

    text: str
    """As it was asked for."""
    value: float
    """The AUC itself, or what is added to that of full tables (at most 0)."""
    from_full: bool

    def level(self, full_auc: float | None) -> float | None:
        """The AUC, where full tables reach `full_auc` on average; None while that is not known."""
        if not self.from_full:
            return self.value
        return None if full_auc is None else full_auc + self.value


def target(text: str) -> Target:
    """`full-0.001`, `full` or `0.80`. Raises UsageError for anything else."""
    from_full = text.startswith(_FULL)
    told = text.removeprefix(_FULL) or "0"
    try:
        value = float(told)
    except ValueError:
        value = math.nan
    signed = told == "0" or told[0] in "+-"
    if from_full and signed and -0.5 < value <= 0:
        return Target(text, value, True)
    if not from_full and 0.5 < value < 1:
        return Target(text, value, False)
    raise UsageError(f"targets: must be an AUC between 0.5 and 1, or full-0.001 and the like, got {text!r}")
