"""pocketrec: terabyte embedding tables, in your pocket.

The public names below load on first use, so that `import pocketrec` costs nothing but itself.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "compress_": "compress",
    "fit_": "compress",
    "memory_report": "compress",
    "Embedding": "embedding",
    "EmbeddingBag": "embedding",
    "EmbeddingBagCollection": "embedding",
    "full_bytes": "embedding",
    "quantize_": "embedding",
    "stored_bytes": "embedding",
    "Full": "sharing",
    "HashingTrick": "sharing",
    "QuotientRemainder": "sharing",
    "Robe": "sharing",
    "Table": "sharing",
    "train": "training",
}
_ROOMS = ("models", "optim")
__all__ = [
    "Embedding",
    "EmbeddingBag",
    "EmbeddingBagCollection",
    "Full",
    "HashingTrick",
    "QuotientRemainder",
    "Robe",
    "Table",
    "compress_",
    "fit_",
    "full_bytes",
    "memory_report",
    "quantize_",
    "stored_bytes",
    "train",
]

if TYPE_CHECKING:
    from pocketrec import models as models, optim as optim
    from pocketrec.compress import compress_, fit_, memory_report
    from pocketrec.embedding import (
        Embedding,
        EmbeddingBag,
        EmbeddingBagCollection,
        full_bytes,
        quantize_,
        stored_bytes,
    )
    from pocketrec.sharing import Full, HashingTrick, QuotientRemainder, Robe, Table
    from pocketrec.training import train


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"pocketrec.{_HOME[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"pocketrec.{name}")
    raise AttributeError(f"module 'pocketrec' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__", *_ROOMS]
