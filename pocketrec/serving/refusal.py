"""A request that is not answered with scores: status, message, and the field and row it is about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response


class Refusal(Exception):
    """Answered as JSON `{"error": {"message", "field"?, "row"?}}` with its status."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        field: str | None = None,
        row: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.field = field
        self.row = row
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """The answer, whole."""
        error: dict[str, Any] = {"message": self.message}
        if self.field is not None:
            error["field"] = self.field
        if self.row is not None:
            error["row"] = self.row
        return json_response({"error": error}, self.status, self.headers)


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`content` as JSON, encoded by msgspec."""
    return Response(json_bytes(content), status, headers, media_type="application/json")


def json_bytes(content: Any) -> bytes:
    """JSON that is always UTF-8: half a surrogate pair, which `\\ud800` in a request may bring, becomes `?`."""
    try:
        return msgspec.json.encode(content)
    except UnicodeEncodeError:
        return msgspec.json.encode(_sayable(content))


def _sayable(value: Any) -> Any:
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff]", "?", value)
    if isinstance(value, dict):
        return {_sayable(name): _sayable(each) for name, each in value.items()}
    return [_sayable(each) for each in value] if isinstance(value, list) else value


def too_busy(why: str) -> Refusal:
    """503 with Retry-After."""
    return Refusal(503, f"{why}: try again in a second", headers={"retry-after": "1"})
