"""The marks that figures are made of, in SVG."""

from __future__ import annotations

from collections.abc import Iterator

WIDTH = 800
"""In pixels, as all below."""
INK, FAINT = "#333", "#e8e8e8"
STYLE = (
    "text{font:11px Helvetica,Arial,sans-serif;text-anchor:middle;fill:#333}"
    ".n{font-size:9px;fill:#fff}.t{font-size:12px;font-weight:bold}.l{text-anchor:start}.r{text-anchor:end}"
)


def page(title: str, height: int, marks: Iterator[str]) -> str:
    """A figure."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        f"<title>{title}</title>",
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        *marks,
        "</svg>\n",
    ]
    return "\n".join(lines)


def cell(left: float, top: float, width: float, height: float, colour: str, text: str) -> Iterator[str]:
    """A box with a small text, turned where it is narrow."""
    edge = min(0.5, width / 10)
    where = f'x="{left + edge:.4g}" y="{top + 0.5:g}" width="{width - 2 * edge:.4g}" height="{height - 1:g}"'
    yield f'<rect {where} fill="{colour}"/>'
    if text:
        x, y = left + width / 2, top + height / 2
        turned = f' transform="rotate(-90 {x:.4g} {y:.4g})"' if 4 * len(text) > width else ""
        yield f'<text class="n" x="{x:.4g}" y="{y + 3.2:.4g}"{turned}>{text}</text>'
