"""What the values of a column are, settled once for all files: ids `integer` or `text`, times `integer` or `datetime`.

Text columns are judged by their first values, typed ones (Parquet) by their type, in every file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from pocketrec.data.convert import iso_times
from pocketrec.data.layout import Layout
from pocketrec.errors import DataError

_TEXTS = (pl.String, pl.Categorical, pl.Enum)
_TIME_RULE = "a time is an integer, a date or an ISO 8601 date and time"


def id_kind_of_texts(path: Path, texts: pl.Series) -> str:
    """`integer` or `text`. Raises DataError where the values are numbers with fractions."""
    values = texts.drop_nulls()
    values = values.filter(values != "")
    if not len(values) or values.cast(pl.Float64, strict=False).null_count():
        return "text"
    # An integer of any length is one, and 1e5 or nan among integers is a bad value of an integer column.
    if values.str.contains(".", literal=True).any():
        raise _refused_ids(path, texts.name, "floats")
    return "integer"


def id_kind_of_type(path: Path, name: str, dtype: pl.DataType, declared_text: bool) -> str:
    """`integer` or `text`. Raises DataError for types that are neither."""
    if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
        raise DataError(f"{path}: categorical column {name!r} holds {dtype}: an id is an integer or text")
    if declared_text or dtype in _TEXTS:
        return "text"
    if dtype.is_integer() or dtype == pl.Boolean:
        return "integer"
    raise _refused_ids(path, name, "floats" if dtype.is_float() else str(dtype))


def time_kind_of_texts(texts: pl.Series) -> str:
    """What most values are: a bad one among the first must not decide for all."""
    integers = texts.cast(pl.Int64, strict=False).count()
    return "integer" if integers >= iso_times(texts).count() and integers else "datetime"


def time_kind_of_type(path: Path, name: str, dtype: pl.DataType) -> str:
    """`integer` or `datetime`; text can only be the latter. Raises DataError for types that are no times."""
    if dtype.is_integer():
        return "integer"
    if dtype in (*_TEXTS, pl.Date, pl.Datetime):
        return "datetime"
    raise DataError(f"{path}: time column {name!r} holds {dtype}: {_TIME_RULE}")


def kinds_of_schema(path: Path, schema: Mapping[str, pl.DataType], layout: Layout) -> tuple[dict[str, str], str]:
    """(kind of each categorical column, kind of the time column). Raises DataError for a type that will not do."""
    for name in filter(None, (layout.label, *layout.dense)):
        dtype = schema[name]
        if not (dtype.is_numeric() or dtype in (pl.Boolean, pl.Null, *_TEXTS)):
            raise DataError(f"{path}: column {name!r} holds {dtype}: labels and dense columns are numeric")
    ids = {name: id_kind_of_type(path, name, schema[name], name in layout.text) for name in layout.categorical}
    time = layout.time_column
    return ids, "" if time is None else time_kind_of_type(path, time, schema[time])


def check_same_kinds(path: Path, schema: Mapping[str, pl.DataType], layout: Layout) -> None:
    """Raise DataError when a file's columns are not of the kinds that the first file had."""
    ids, time = kinds_of_schema(path, schema, layout)
    for name, kind in ids.items():
        # Hex digits are text to Parquet.
        if kind != layout.id_kinds[name] and (kind, layout.id_kinds[name]) != ("text", "hex"):
            holds = f"{path}: categorical column {name!r} holds {schema[name]}"
            if layout.raw:
                raise DataError(f"{holds}, in the log of the model it was {layout.id_kinds[name]}: write it alike")
            raise DataError(
                f"{holds}, in the first file it was {layout.id_kinds[name]}: write it alike, or declare it as text "
                f"(--text {name})"
            )
    if time != layout.time_kind:
        raise DataError(f"{path}: time column {layout.time_column!r} was {layout.time_kind} in the first file")


def _refused_ids(path: Path, name: str, what: str) -> DataError:
    return DataError(
        f"{path}: categorical column {name!r} holds {what}: an id is an integer in [0, 2^62) or text: "
        f"make it a dense column, or declare it as text (--text {name})"
    )
