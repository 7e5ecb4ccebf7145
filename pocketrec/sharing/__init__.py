"""Sharing schemes (floor 3), one a file: each says how a row is recovered and what it stores."""

from pocketrec.sharing.full import Full
from pocketrec.sharing.hashing_trick import HashingTrick
from pocketrec.sharing.names import SCHEMES, scheme_named
from pocketrec.sharing.robe import Robe
from pocketrec.sharing.scheme import Scheme
from pocketrec.sharing.table import Table

__all__ = ["SCHEMES", "Full", "HashingTrick", "Robe", "Scheme", "Table", "scheme_named"]
