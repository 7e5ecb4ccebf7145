"""Columns of text or typed values -> labels, dense values, ids and times; null where a rule is broken.

Each converter takes a Polars series and returns `(values, rule)`: a series of the wanted type whose nulls are either
blanks (null in the input as well) or broken values, and the rule in words. Polars does the arithmetic on all cores.
"""

from __future__ import annotations

import polars as pl

from pocketrec.errors import DataError
from pocketrec.hashing import ID_LIMIT, text_id

_INTEGER_RULE = "an id is an integer in [0, 2^62)"


def labels(series: pl.Series, integers: bool) -> tuple[pl.Series, str]:
    """(N,) int8. Everything that is not 0 or 1 becomes null, blanks too."""
    values = series.cast(pl.Int8 if integers else pl.Float64, strict=False)
    if values.is_between(0, 1).all() and (integers or ((values == 0) | (values == 1)).all()):
        return values.cast(pl.Int8), "a label is 0 or 1"
    good = (values == 0) | (values == 1)
    return pl.select(pl.when(good).then(values).otherwise(None)).to_series().cast(pl.Int8), "a label is 0 or 1"


def dense(series: pl.Series, integers: bool) -> tuple[pl.Series, str]:
    """(N,) int64 when only `integers` are allowed, else float64."""
    if integers:
        return series.cast(pl.Int64, strict=False), "a dense value is an integer or blank"
    if series.dtype.is_nested() or series.dtype.is_temporal():
        raise DataError(f"dense column {series.name!r} holds {series.dtype}: a dense column is numeric")
    values = series.cast(pl.Float64, strict=False)
    if not values.is_finite().all():
        values = pl.select(pl.when(values.is_finite()).then(values).otherwise(None)).to_series()
    return values, "a dense value is a finite number or blank"


def ids(series: pl.Series, kind: str) -> tuple[pl.Series, str]:
    """(N,) raw ids: uint32 for `hex`, int64 for `integer` and `text`."""
    return {"hex": _hex_ids, "integer": _integer_ids, "text": _text_ids}[kind](series)


def _hex_ids(series: pl.Series) -> tuple[pl.Series, str]:
    values = series.str.to_integer(base=16, strict=False, dtype=pl.UInt32)
    # The parser takes leading zeros without end.
    if (series.str.len_bytes() > 8).any():
        values = pl.select(pl.when(series.str.len_bytes() <= 8).then(values).otherwise(None)).to_series()
    return values, "a categorical value is at most 8 hex digits or blank"


def _integer_ids(series: pl.Series) -> tuple[pl.Series, str]:
    values = series.cast(pl.Int64, strict=False)
    if not values.is_between(0, ID_LIMIT - 1).all():
        good = values.is_between(0, ID_LIMIT - 1)
        values = pl.select(pl.when(good).then(values).otherwise(None)).to_series()
    return values, _INTEGER_RULE


def _text_ids(series: pl.Series) -> tuple[pl.Series, str]:
    texts = series.cast(pl.String)
    distinct = texts.unique().drop_nulls()
    hashed = pl.Series([text_id(text) for text in distinct], dtype=pl.Int64)
    return texts.replace_strict(distinct, hashed, default=None, return_dtype=pl.Int64), "an id is text"


def times(series: pl.Series) -> tuple[pl.Series, str]:
    """(N,) int64: integers as they are, dates and times in microseconds; text is an integer or ISO 8601."""
    rule = "a time is an integer, a date or an ISO 8601 date and time"
    if series.dtype == pl.String:
        values = series.cast(pl.Int64, strict=False)
        if values.null_count() == series.null_count():
            return values, rule
        try:
            return series.str.to_datetime(time_unit="us", strict=False).cast(pl.Int64), rule
        except pl.exceptions.ComputeError:  # not one value looks like a date
            return pl.Series(series.name, [None] * len(series), dtype=pl.Int64), rule
    if series.dtype.is_integer():
        return series.cast(pl.Int64, strict=False), rule
    if series.dtype in (pl.Date, pl.Datetime):
        return series.cast(pl.Datetime("us")).cast(pl.Int64), rule
    raise DataError(f"time column {series.name!r} holds {series.dtype}: {rule}")


def id_kind(series: pl.Series, declared_text: bool) -> str:
    """`integer` or `text`, judged from the type, for text from the values. Raises DataError for floats."""
    if declared_text:
        return "text"
    floats = f"categorical column {series.name!r} holds floats: an id is an integer or text"
    if series.dtype in (pl.String, pl.Categorical, pl.Enum):
        values = series.cast(pl.String).drop_nulls()
        values = values.filter(values != "")
        if len(values) == 0 or values.cast(pl.Int64, strict=False).null_count() == 0:
            return "integer" if len(values) else "text"
        if values.cast(pl.Float64, strict=False).null_count() == 0:
            raise DataError(floats)
        return "text"
    if series.dtype.is_integer() or series.dtype == pl.Boolean:
        return "integer"
    if series.dtype.is_float():
        raise DataError(floats)
    raise DataError(f"categorical column {series.name!r} holds {series.dtype}: an id is an integer or text")
