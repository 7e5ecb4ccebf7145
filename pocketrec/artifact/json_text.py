"""JSON as an artifact holds it: an object, every name once, numbers that are numbers."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

from pocketrec.artifact.errors import damaged

LIMIT = 1 << 22
"""Bytes of JSON that are read at most."""


def parse(text: memoryview, what: str) -> dict[str, Any]:
    """The object in `text`. Raises ArtifactError for anything else, a name told twice, NaN, or more than 4 MiB."""
    if len(text) > LIMIT:
        raise damaged(f"{what} of {len(text)} bytes; it has at most {LIMIT}")
    try:
        told = json.loads(
            bytes(text).decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse, parse_float=_float
        )
    except (ValueError, RecursionError) as error:
        raise damaged(f"{what} is not JSON ({str(error)[:100] or type(error).__name__})") from None
    if not isinstance(told, dict):
        raise damaged(f"{what} is JSON, but not an object")
    return told


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    told = dict(pairs)
    if len(told) != len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{twice[:60]!r} is told twice")
    return told


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:40]} is too large a number")
    return value


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not a number of JSON")
