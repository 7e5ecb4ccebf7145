"""How the command line prints numbers and small tables."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from pocketrec.units import ratio as ratio, size as size


def number(value: int) -> str:
    """1234567 -> 1,234,567."""
    return f"{value:,}"


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
