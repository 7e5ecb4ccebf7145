"""A JSON body -> one sequence of raw values a feature. Typed by the model's own features, so that msgspec checks while
it reads: 256 rows of 39 features take half a millisecond, and a hostile body is dropped at its first wrong value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pocketrec.serving.features import Features
from pocketrec.serving.refusal import Refusal, json_bytes

DENSE = int | float | str | None
CATEGORICAL = int | str | bool | dict[str, int] | None
Columns = Mapping[str, Sequence[Any]]
_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_PATH = re.compile(r"^\.(?P<way>rows|columns)(?:\[(?P<row>\d+)\])?(?:\.(?P<feature>.*))?$", re.DOTALL)
_NAMED = re.compile(r"(required|unknown) field `(.*)`$", re.DOTALL)
_MISMATCHES = {
    ("required", True): 'missing: give every feature of the model (null or "" for a blank)',
    ("unknown", True): "the model has no feature of that name: GET /model tells those it has",
    ("unknown", False): 'a body has "rows" or "columns" and nothing else',
}
_BYTE = re.compile(r"\(byte (\d+)\)")
_NAN = re.compile(rb"-?(?:nan|inf)", re.IGNORECASE)
_INDEX = re.compile(r"\[(\d+)\]")


class RowsDecoder:
    """Reads `{"rows": [{feature: value}]}` and `{"columns": {feature: [value]}}` for one model."""

    def __init__(self, features: Features, max_rows: int) -> None:
        self.names = features.names
        self.max_rows = max_rows
        keys = [f"f{i}" for i in range(len(self.names))]
        types = [DENSE] * len(features.dense) + [CATEGORICAL] * len(features.categorical)
        rename = dict(zip(keys, self.names, strict=True))
        row = msgspec.defstruct(
            "Row", list(zip(keys, types, strict=True)), rename=rename, forbid_unknown_fields=True, gc=False
        )
        lists = [(key, list[each]) for key, each in zip(keys, types, strict=True)]  # type: ignore[valid-type]
        columns = msgspec.defstruct("Columns", lists, rename=rename, forbid_unknown_fields=True)
        unset = msgspec.UNSET
        body = msgspec.defstruct(
            "Body",
            [
                ("rows", list[row] | msgspec.UnsetType, unset),  # type: ignore[valid-type]
                ("columns", columns | msgspec.UnsetType, unset),
            ],
            forbid_unknown_fields=True,
        )
        self._decoder = msgspec.json.Decoder(body)

    def columns(self, body: bytes) -> Columns:
        """The raw values of each feature. Raises Refusal: 400 no JSON, 413 too many rows, 422 not what is asked for."""
        try:
            told: Any = self._decoder.decode(body)
        except msgspec.ValidationError as error:
            raise self._refused(str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._not_json(body, str(error)) from None
        except RecursionError:
            raise Refusal(400, "the body is nested too deeply") from None
        if (told.rows is msgspec.UNSET) == (told.columns is msgspec.UNSET):
            raise Refusal(422, 'give either "rows" or "columns"', field="rows")
        if told.columns is msgspec.UNSET:
            self._check_count(len(told.rows), "rows")
            values: Any = zip(*map(msgspec.structs.astuple, told.rows), strict=True)
        else:
            values = msgspec.structs.astuple(told.columns)
            self._check_lengths(values)
        return dict(zip(self.names, values, strict=True))

    def _check_lengths(self, values: Sequence[Sequence[Any]]) -> None:
        rows = len(values[0])
        for name, each in zip(self.names, values, strict=True):
            if len(each) != rows:
                raise Refusal(
                    422, f"columns: {name} has {len(each)} values, {self.names[0]} has {rows}: one a row", field=name
                )
        self._check_count(rows, "columns")

    def _check_count(self, rows: int, field: str) -> None:
        check_count(rows, self.max_rows, field)

    def _refused(self, message: str) -> Refusal:
        """msgspec's message with its place said as a field and a row."""
        parts = _PLACE.match(message)
        what, path = (parts["what"], parts["path"] or "") if parts else (message, "")
        place = _PATH.match(path)
        way, row, feature = (place["way"], place["row"], place["feature"]) if place else (None, None, None)
        field = self._feature(feature) if feature else way
        if feature and field and way == "columns":
            index = _INDEX.search(feature, len(field))
            row = index[1] if index else None
        named = _NAMED.search(what)
        if named:
            field, what = named[2], _MISMATCHES[named[1], way is not None]
        return refused_value(_plain(what), field, None if row is None else int(row))

    def _feature(self, path: str) -> str:
        """The longest feature name that `path` begins with; names may hold dots and brackets."""
        return max((name for name in self.names if path.startswith(name)), key=len, default=path)

    def _not_json(self, body: bytes, message: str) -> Refusal:
        """Says the feature before the place where it broke; NaN and Infinity are the usual reason."""
        at = _BYTE.search(message)
        if at is None:
            return Refusal(400, f"the body is not JSON: {message}")
        place = int(at[1])
        before = {name: body.rfind(json_bytes(name), 0, place) for name in self.names}
        field = max(before, key=lambda name: before[name])
        rule = "NaN is no JSON: a blank is null" if _NAN.match(body, place) else f"the body is not JSON: {message}"
        if before[field] < 0:
            return Refusal(400, rule)
        return Refusal(400, f"{rule}; at or after field {field!r}", field=field)


def refused_value(what: str, field: str | None, row: int | None) -> Refusal:
    """422 that says where, as the runtime does."""
    if row is None:
        where = "the body" if field is None else f"field {field!r}"
    else:
        where = f"row {row} of 'rows'" if field == "rows" else f"row {row}, feature {field!r}"
    return Refusal(422, f"{where}: {what}", field=field, row=row)


def check_count(rows: int, most: int, field: str) -> None:
    """Raise Refusal for no rows, and for too many."""
    if rows == 0:
        raise Refusal(422, f"{field}: there are no rows to score", field=field)
    if rows > most:
        raise Refusal(413, f"{field}: a request has at most {most} rows, this one {rows}: send several", field=field)


def _plain(what: str) -> str:
    """msgspec's words in ours: a value that must be one is said to be one."""
    what = what.replace("`int | float | str | null`", "a number, a numeric string or null")
    return what.replace("`bool | int | str | object | null`", 'one value: an integer, a string, {"id": N} or null')
