"""The words by which the command line and reports know the schemes: one list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pocketrec.errors import UsageError, nearest, one_of
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
from pocketrec.sharing.transform_coding import TransformCoding

SCHEMES: dict[str, Any] = {
    "full": Full,
    "low-rank": LowRank,
    "hashing-trick": HashingTrick,
    "hashednets": HashedNets,
    "robe": Robe,
    "qr": QuotientRemainder,
    "multi-hash": MultiHash,
    "hash-embeddings": HashEmbeddings,
    "mixed-dimensions": MixedDimensions,
    "tt": TensorTrain,
    "dhe": DeepHash,
    "cce": Clustered,
    "hot-cold": HotCold,
}
CODED: dict[str, Any] = {"transform-coding": TransformCoding}
"""Those that are made from trained tables, and cannot be trained."""


def scheme_named(name: str, options: Mapping[str, Any] | None = None, **perhaps: Any) -> Scheme:
    """The scheme called `name`, built with `options`, and with those of `perhaps` that it has.

    Raises:
        UsageError: no scheme of that name, or an option it does not have; says the nearest.
    """
    schemes = SCHEMES | CODED
    known = schemes[one_of("sharing", name, schemes)].__dataclass_fields__
    given = {k: v for k, v in perhaps.items() if k in known} | dict(options or {})
    if "cold" in known:  # the options of ROBE, whose rows cold ids have
        given = {"cold": Robe(**{k: v for k, v in perhaps.items() if k in Robe.__dataclass_fields__})} | given
    for option in given:
        if option not in known:
            raise UsageError(f"sharing {name!r} has no option {option!r}: {nearest(option, known)}")
    scheme: Scheme = schemes[name](**given)
    return scheme
