"""What a sharing scheme is called, and its colour and marker: the same in every figure and table."""

from __future__ import annotations

from typing import NamedTuple

# Okabe & Ito's palette, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
FULL_COLOUR = "#000000"

NAMES = {
    "full": "full tables",
    "low-rank": "low rank",
    "hashing-trick": "hashing trick",
    "hashednets": "HashedNets",
    "robe": "ROBE",
    "qr": "quotient-remainder",
    "multi-hash": "multi-hash",
    "hash-embeddings": "hash embeddings",
    "mixed-dimensions": "mixed dimensions",
    "tt": "tensor train",
    "dhe": "deep hash",
    "cce": "CCE",
    "hot-cold": "hot-cold",
    "transform-coding": "transform coding",
}
"""By the words of the command line; a test holds them against `SCHEMES`."""


class Look(NamedTuple):
    """How a scheme's points and lines are drawn."""

    colour: str
    marker: str
    dash: str


MARKERS, DASHES = "osD^vX<>hdp8", ("-", "--", "-.", ":")
FULL_MARKER, PAPER_MARKER = "P", "*"


def name_of(scheme: str) -> str:
    """In words; a scheme we do not know keeps its own."""
    return NAMES.get(scheme, scheme)


def looks(schemes: list[str]) -> dict[str, Look]:
    """A look for each, in this order: no two share a marker, and colours repeat only from the fifth on."""
    return {
        scheme: Look(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], DASHES[i // len(COLOURS) % len(DASHES)])
        for i, scheme in enumerate(schemes)
    }
