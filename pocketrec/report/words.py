"""Numbers as the report writes them."""

from __future__ import annotations

from collections.abc import Sequence

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"


def size(value: float) -> str:
    """Bytes in the unit people read, powers of 1000: 475 kB, 47.5 MB."""
    unit = "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"


def times(value: float) -> str:
    """A ratio as people say it: 1,000x, 100x, 2.25x."""
    return f"{value:,.0f}x" if value >= 99.5 else f"{value:.3g}x"


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
