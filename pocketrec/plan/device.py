"""Whether what a plan asks for fits on a device."""

from __future__ import annotations

from dataclasses import dataclass

from pocketrec.plan.memory import Memory


@dataclass(frozen=True)
class Fit:
    """Embeddings only: the ranker, its activations and the batch come on top."""

    device: str
    bytes: int
    full_serves: bool
    shared_serves: bool
    full_trains: dict[str, bool]
    """By optimiser, with row-sparse gradients."""
    shared_trains: dict[str, bool]


def fit(device: str, device_bytes: int, full: Memory, shared: Memory) -> Fit:
    """What of the two fits."""
    return Fit(
        device=device,
        bytes=device_bytes,
        full_serves=full.weights <= device_bytes,
        shared_serves=shared.weights <= device_bytes,
        full_trains={name: needs <= device_bytes for name, needs in full.training.items()},
        shared_trains={name: needs <= device_bytes for name, needs in shared.training.items()},
    )
