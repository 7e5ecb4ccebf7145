"""The words by which the command line and reports know the schemes: one list."""

from __future__ import annotations

from typing import Any

from pocketrec.errors import UsageError, nearest
from pocketrec.sharing.full import Full
from pocketrec.sharing.hashing_trick import HashingTrick
from pocketrec.sharing.quotient_remainder import QuotientRemainder
from pocketrec.sharing.robe import Robe
from pocketrec.sharing.scheme import Scheme

SCHEMES: dict[str, Any] = {
    "full": Full,
    "hashing-trick": HashingTrick,
    "robe": Robe,
    "qr": QuotientRemainder,
}


def scheme_named(name: str, **options: Any) -> Scheme:
    """The scheme called `name`, with those of `options` that it has.

    Raises:
        UsageError: no scheme of that name; says the nearest.
    """
    if name not in SCHEMES:
        raise UsageError(f"no sharing scheme {name!r}: {nearest(name, SCHEMES)}")
    known = SCHEMES[name].__dataclass_fields__
    scheme: Scheme = SCHEMES[name](**{k: v for k, v in options.items() if k in known})
    return scheme
