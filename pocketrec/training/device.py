"""The device a run computes on, tried before it is relied on."""

from __future__ import annotations

import torch

from pocketrec.errors import UsageError


def usable_device(name: str | torch.device) -> torch.device:
    """`name` as a device that computes here. Raises UsageError for one that this machine, or torch, does not have."""
    try:
        # AssertionError is what torch raises for a backend it was built without.
        device = torch.device(name)
        torch.empty(1, device=device).item()
    except (RuntimeError, TypeError, AssertionError, ImportError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].partition(". ")[0]
        raise UsageError(f"device: {str(name)!r} cannot compute here ({reason}); use cpu, or cuda on a GPU") from None
    return device
