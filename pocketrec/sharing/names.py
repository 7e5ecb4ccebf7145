"""The words by which the command line and reports know the schemes: one list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pocketrec.errors import UsageError, nearest
from pocketrec.sharing.clustered import Clustered
from pocketrec.sharing.deep_hash import DeepHash
from pocketrec.sharing.full import Full
from pocketrec.sharing.hash_embeddings import HashEmbeddings
from pocketrec.sharing.hashednets import HashedNets
from pocketrec.sharing.hashing_trick import HashingTrick
from pocketrec.sharing.hot_cold import HotCold
from pocketrec.sharing.low_rank import LowRank
from pocketrec.sharing.mixed_dimensions import MixedDimensions
from pocketrec.sharing.multi_hash import MultiHash
from pocketrec.sharing.quotient_remainder import QuotientRemainder
from pocketrec.sharing.robe import Robe
from pocketrec.sharing.scheme import Scheme
from pocketrec.sharing.tensor_train import TensorTrain

SCHEMES: dict[str, Any] = {
    "full": Full,
    "hashing-trick": HashingTrick,
    "robe": Robe,
    "hashednets": HashedNets,
    "multi-hash": MultiHash,
    "hash-embeddings": HashEmbeddings,
    "qr": QuotientRemainder,
    "cce": Clustered,
    "hot-cold": HotCold,
    "dhe": DeepHash,
    "low-rank": LowRank,
    "mixed-dimensions": MixedDimensions,
    "tt": TensorTrain,
}


def scheme_named(name: str, options: Mapping[str, Any] | None = None, **perhaps: Any) -> Scheme:
    """The scheme called `name`, built with `options`, and with those of `perhaps` that it has.

    A scheme among the options may be given by its word.

    Raises:
        UsageError: no scheme of that name, or an option it does not have; says the nearest.
    """
    if name not in SCHEMES:
        raise UsageError(f"no sharing scheme {name!r}: {nearest(name, SCHEMES)}")
    known = SCHEMES[name].__dataclass_fields__
    given = {k: v for k, v in perhaps.items() if k in known} | dict(options or {})
    for option in given:
        if option not in known:
            raise UsageError(f"sharing {name!r} has no option {option!r}: {nearest(option, known)}")
    scheme: Scheme = SCHEMES[name](**given)
    return scheme
