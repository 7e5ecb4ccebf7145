"""The settings a scheme is trained with unless told otherwise, chosen by validation on Book-Crossing (studies/LOG.md).

Full tables learn fastest from Adagrad at a large rate, and overfit as soon as they meet a row again: early stopping
ends them. A shared memory sums what many ids ask for, and wants Adam, a rate that falls, and several epochs.

ROBE takes raw ids behind a filter: as good as a vocabulary, at a sixth of its bytes. They lie anywhere, so it hashes
them with the mixing hash; the linear one spreads evenly only what is consecutive. So do the others that hash all tables
into one memory. The rest takes a vocabulary: such schemes keep small tables exactly, or count ids from 0 on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SHARED: Mapping[str, Any] = {
    "embedding_optimizer": "adam",
    "dense_optimizer": "adam",
    "embedding_learning_rate": 3e-3,
    "dense_learning_rate": 1e-3,
    "decay": "linear",
    "epochs": 3,
    "patience": None,  # a falling rate needs its whole schedule
}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "full": {
        "embedding_optimizer": "adagrad",
        "dense_optimizer": "adagrad",
        "embedding_learning_rate": 0.03,
        "dense_learning_rate": 0.01,
        "decay": "none",
        "epochs": 10,
        "patience": 4,
    },
    "robe": {"ids": "filtered", "hash": "mixing", **_SHARED},
    "hashednets": {"ids": "filtered", **_SHARED},
    "hot-cold": {"ids": "filtered", **_SHARED},
}
_OTHERS: Mapping[str, Any] = {"ids": "vocabulary", **_SHARED}


def defaults_for(sharing: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """`given`, completed with the defaults of its scheme.

    Another optimiser than the scheme's own takes that optimiser's default learning rate, not the scheme's.
    """
    settings = {"sharing": sharing, **DEFAULTS.get(sharing, _OTHERS)}
    for part in ("embedding", "dense"):
        own, rate = f"{part}_optimizer", f"{part}_learning_rate"
        if "learning_rate" in given or given.get(own, settings.get(own)) != settings.get(own):
            settings.pop(rate, None)
    return settings | dict(given)
