"""The settings a scheme is trained with unless told otherwise, chosen by validation on Book-Crossing (studies/LOG.md).

A full table of rare ids overfits in its second epoch, a shared memory later or not at all: hence fewer epochs for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SHARED = {
    "embedding_optimizer": "adam",
    "dense_optimizer": "adam",
    "embedding_learning_rate": 1e-3,
    "dense_learning_rate": 1e-3,
    "decay": "linear",
    "epochs": 3,
}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "full": {
        "embedding_optimizer": "adagrad",
        "dense_optimizer": "adagrad",
        "embedding_learning_rate": 0.03,
        "dense_learning_rate": 0.03,
        "decay": "linear",
        "epochs": 1,
    },
    "hashing-trick": _SHARED,
    "robe": _SHARED,
}


def defaults_for(sharing: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """`given`, completed with the defaults of its scheme.

    Another optimiser than the scheme's own takes that optimiser's default learning rate, not the scheme's.
    """
    settings = {"sharing": sharing, **DEFAULTS.get(sharing, {})}
    for part in ("embedding", "dense"):
        own, rate = f"{part}_optimizer", f"{part}_learning_rate"
        if "learning_rate" in given or given.get(own, settings.get(own)) != settings.get(own):
            settings.pop(rate, None)
    return settings | dict(given)
