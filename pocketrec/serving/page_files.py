"""The page's files: what a browser may keep of them, and what it may load."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.staticfiles import StaticFiles

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {"cache-control": "no-cache"}
"""Without it a browser keeps a file for a tenth of its age unasked, and shows the page of an older version."""


class PageFiles(StaticFiles):
    """Static files that a browser asks about each time; 304 while they are the same."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers.update(HEADERS)
        return response
