"""What is wrong with a JSON body, in our words: msgspec's messages as refusals that say the field and the row."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pocketrec.serving.refusal import Refusal, json_bytes

_AT = " - at `$"  # begins the place in a message; a name within a message may pretend to
_PATH = re.compile(r"\.(?P<way>rows|columns)(?:\[(?P<row>\d{1,9})\])?(?:\.(?P<feature>.*))?", re.DOTALL)
_MISSING, _UNKNOWN = "Object missing required field `", "Object contains unknown field `"
_SHOWN = 60  # characters of a name that somebody made up: it may be as long as the request
_INDEX = re.compile(r"\[(\d{1,9})\]")
_BYTE = re.compile(r"\(byte (\d+)\)")
_NO_NUMBER = re.compile(rb"-?(?:nan|inf(?:inity)?)", re.IGNORECASE)
# The last string may be open: it is gone through once, and not again from each quote within it.
_STRING = re.compile(rb'("(?:[^"\\]|\\.)*+"?)(\s*:)?', re.DOTALL)


def mismatch(message: str, names: Sequence[str]) -> Refusal:
    """422 for msgspec's message about a body that is JSON, but not of the features `names`."""
    what, at, path = message.rpartition(_AT)
    place = _PATH.match(path) if at else None
    what = what if at else message
    way, row, feature = (place["way"], place["row"], place["feature"]) if place else (None, None, None)
    field = _longest(names, feature.removesuffix("`")) if feature else way
    if feature and field and way == "columns":
        index = _INDEX.search(feature, len(field))
        row = index[1] if index else None
    if what.startswith((_MISSING, _UNKNOWN)):
        field, what = _named(what, way)
    return _refused_value(_plain(what), field, None if row is None else int(row))


def _named(what: str, way: str | None) -> tuple[str, str]:
    """The name in a message that begins with one, and what is wrong with it."""
    if what.startswith(_MISSING):
        rule, begin = 'missing: give every feature of the model (null or "" for a blank)', len(_MISSING)
    elif way is None:
        rule, begin = 'a body has "rows" or "columns" and nothing else', len(_UNKNOWN)
    else:
        rule, begin = "the model has no feature of that name: GET /model tells those it has", len(_UNKNOWN)
    return what.removesuffix("`")[begin : begin + _SHOWN], rule


def not_json(body: bytes, message: str, names: Sequence[str]) -> Refusal:
    """400 that says the feature before the place where it broke; NaN and Infinity are the usual reason."""
    at = _BYTE.search(message)
    if at is None:
        return Refusal(400, f"the body is not JSON: {message}")
    place = int(at[1])
    word = _NO_NUMBER.match(body, place - 1) or _NO_NUMBER.match(body, place)  # msgspec stops after the sign
    rule = f"{word[0].decode()} is no JSON: a blank is null" if word else f"the body is not JSON: {message}"
    field = _key_before(body, place, names)
    return Refusal(400, rule if field is None else f"{rule}; at or after field {field!r}", field=field)


def _key_before(body: bytes, place: int, names: Sequence[str]) -> str | None:
    """The last feature named before `place`. Up to there strings follow one another; the last may not have ended."""
    known = {json_bytes(name): name for name in names}
    found = None
    for string in _STRING.finditer(body, 0, place):
        if string[2]:
            found = known.get(string[1], found)
    return found


def _longest(names: Sequence[str], path: str) -> str:
    """The longest name that `path` begins with; names may hold dots and brackets."""
    return max((name for name in names if path.startswith(name)), key=len, default=path[:_SHOWN])


def _refused_value(what: str, field: str | None, row: int | None) -> Refusal:
    """422 that says where, as the runtime does."""
    if row is None:
        where = "the body" if field is None else f"field {field!r}"
    else:
        where = f"row {row} of 'rows'" if field == "rows" else f"row {row}, feature {field!r}"
    return Refusal(422, f"{where}: {what}", field=field, row=row)


def _plain(what: str) -> str:
    """msgspec's words in ours: a value that must be one is said to be one."""
    what = what.replace("`int | float | str | null`", "a number, a numeric string or null")
    return what.replace("`bool | int | str | object | null`", 'one value: an integer, a string, {"id": N} or null')
