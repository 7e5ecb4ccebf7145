"""Sharing schemes (floor 3), one a file: each says how a row is recovered and what it stores."""

from pocketrec.sharing.budget import Budget
from pocketrec.sharing.full import Full
from pocketrec.sharing.hashing_trick import HashingTrick
from pocketrec.sharing.names import SCHEMES, scheme_named
from pocketrec.sharing.quotient_remainder import QuotientRemainder
from pocketrec.sharing.recovery import PADDED, Recovery
from pocketrec.sharing.robe import Robe
from pocketrec.sharing.scheme import Placement, Scheme
from pocketrec.sharing.table import Table

__all__ = [
    "PADDED",
    "SCHEMES",
    "Budget",
    "Full",
    "HashingTrick",
    "Placement",
    "QuotientRemainder",
    "Recovery",
    "Robe",
    "Scheme",
    "Table",
    "scheme_named",
]
