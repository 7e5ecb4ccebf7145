"""Numbers as the report writes them."""

from __future__ import annotations

from collections.abc import Sequence

from pocketrec.units import ratio as times, size as size

__all__ = ["MINUS", "NONE", "capital", "count", "listed", "signed", "size", "times"]

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"


def signed(value: float) -> str:
    """A difference of AUC: +0.0012, −0.0066."""
    told = f"{abs(value):.4f}"
    return told if float(told) == 0 else f"{MINUS if value < 0 else '+'}{told}"


def capital(text: str) -> str:
    """With a capital letter first."""
    return text[:1].upper() + text[1:]


def count(number: int, noun: str) -> str:
    """1 seed, 3 seeds."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(items: Sequence[str]) -> str:
    """a; a and b; a, b and c."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
