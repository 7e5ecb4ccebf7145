"""How the command line prints numbers and small tables."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence


def number(value: int) -> str:
    """1234567 -> 1,234,567."""
    return f"{value:,}"


def size(value: int) -> str:
    """Bytes in the unit people read: 475 kB, 47.5 MB, 100 GB (powers of 1000)."""
    amount, unit = float(value), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 999.5:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.3g} {unit}"


def ratio(value: float) -> str:
    """A compression as people say it: 100x, 2.25x."""
    return f"{value:,.0f}x" if value >= 99.5 else f"{value:.3g}x"


def pairs(title: str, rows: Iterable[tuple[str, str]], columns: int | None = None) -> str:
    """A title and aligned `name  value` lines; values go on below where a line would be longer than `columns`."""
    rows = list(rows)
    width = max((len(name) for name, _ in rows), default=0)
    lines = [title]
    for name, value in rows:
        head = f"  {name:<{width}}  "
        told = [value] if columns is None else textwrap.wrap(value, columns - len(head))
        lines.append(head + f"\n{' ' * len(head)}".join(told))
    return "\n".join(lines)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns: the first to the left, the others to the right."""
    widths = [max(len(line[i]) for line in (headers, *rows)) for i in range(len(headers))]

    def line(cells: Sequence[str]) -> str:
        first, *others = (
            f"{c:<{w}}" if i == 0 else f"{c:>{w}}" for i, (c, w) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join([first, *others]).rstrip()

    return "\n".join([line(headers), line(["-" * w for w in widths]), *(line(row) for row in rows)])
