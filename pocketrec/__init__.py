"""pocketrec: terabyte embedding tables, in your pocket.

The public names below load on first use, so that `import pocketrec` costs nothing but itself.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "compress_": "compress",
    "encode": "compress",
    "fit_": "compress",
    "memory_report": "compress",
    "Embedding": "embedding",
    "EmbeddingBag": "embedding",
    "EmbeddingBagCollection": "embedding",
    "from_dlrm_qr": "embedding",
    "full_bytes": "embedding",
    "load_authors_": "embedding",
    "quantize_": "embedding",
    "stored_bytes": "embedding",
    "Clustered": "sharing",
    "DeepHash": "sharing",
    "Full": "sharing",
    "HashEmbeddings": "sharing",
    "HashedNets": "sharing",
    "HashingTrick": "sharing",
    "HotCold": "sharing",
    "LowRank": "sharing",
    "MixedDimensions": "sharing",
    "MultiHash": "sharing",
    "QuotientRemainder": "sharing",
    "Robe": "sharing",
    "Table": "sharing",
    "TensorTrain": "sharing",
    "TransformCoding": "sharing",
    "train": "training",
}
_ROOMS = ("models", "optim")
__all__ = [
    "Clustered",
    "DeepHash",
    "Embedding",
    "EmbeddingBag",
    "EmbeddingBagCollection",
    "Full",
    "HashEmbeddings",
    "HashedNets",
    "HashingTrick",
    "HotCold",
    "LowRank",
    "MixedDimensions",
    "MultiHash",
    "QuotientRemainder",
    "Robe",
    "Table",
    "TensorTrain",
    "TransformCoding",
    "compress_",
    "encode",
    "fit_",
    "from_dlrm_qr",
    "full_bytes",
    "load_authors_",
    "memory_report",
    "quantize_",
    "stored_bytes",
    "train",
]

if TYPE_CHECKING:
    from pocketrec import models as models, optim as optim
    from pocketrec.compress import compress_, encode, fit_, memory_report
    from pocketrec.embedding import (
        Embedding,
        EmbeddingBag,
        EmbeddingBagCollection,
        from_dlrm_qr,
        full_bytes,
        load_authors_,
        quantize_,
        stored_bytes,
    )
    from pocketrec.sharing import (
        Clustered,
        DeepHash,
        Full,
        HashedNets,
        HashEmbeddings,
        HashingTrick,
        HotCold,
        LowRank,
        MixedDimensions,
        MultiHash,
        QuotientRemainder,
        Robe,
        Table,
        TensorTrain,
        TransformCoding,
    )
    from pocketrec.training import train


def __getattr__(name: str) -> Any:
    if name in _HOME:
        home = f"pocketrec.{_HOME[name]}"
        try:
            return getattr(importlib.import_module(home), name)
        except ModuleNotFoundError as error:
            if error.name != home:
                raise
            raise ImportError(
                f"pocketrec.{name} is not in pocketrec-runtime, which leaves out all that trains: install pocketrec"
            ) from None
    if name in _ROOMS:
        return importlib.import_module(f"pocketrec.{name}")
    raise AttributeError(f"module 'pocketrec' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__", *_ROOMS]
