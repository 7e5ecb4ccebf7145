"""Columns of text or typed values -> labels, dense values, ids and times; null where a rule is broken.

Each converter takes a Polars series and returns `(values, rule)`: a series of the wanted type whose nulls are either
blanks (null in the input as well) or broken values, and the rule in words. Polars does the arithmetic on all cores.
"""

from __future__ import annotations

import polars as pl

from pocketrec.errors import DataError
from pocketrec.hashing import ID_LIMIT, text_id

_ISO_TIME = (
    r"^(?<date>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?<clock>\d{2}:\d{2})(?<seconds>:\d{2}(?:\.\d{1,9})?)?(?<zone>Z|[+-]\d{2}:\d{2})?)?$"
)


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


def in_float32(values: pl.Series, rule: str) -> tuple[pl.Series, str]:
    """Dense values and their rule where values are kept in float32 as they are: larger ones become null."""
    largest = 3.4028234663852886e38
    if values.dtype.is_integer() or values.is_between(-largest, largest).all():
        return values, rule
    inside = pl.select(pl.when(values.is_between(-largest, largest)).then(values).otherwise(None)).to_series()
    return inside, "a dense value is a finite number within float32, or blank"


def ids(series: pl.Series, kind: str) -> tuple[pl.Series, str]:
    """(N,) raw ids: uint32 for `hex`, int64 for `integer` and `text`."""
    return {"hex": _hex_ids, "integer": _integer_ids, "text": _text_ids}[kind](series)


def _hex_ids(series: pl.Series) -> tuple[pl.Series, str]:
    series = series.cast(pl.String)
    values = series.str.to_integer(base=16, strict=False, dtype=pl.UInt32)
    # The parser takes leading zeros without end, and a sign.
    broken = (series.str.len_bytes() > 8) | series.str.starts_with("+")
    if broken.any():
        values = pl.select(pl.when(broken).then(None).otherwise(values)).to_series()
    return values, "a categorical value is at most 8 hex digits or blank"


def _integer_ids(series: pl.Series) -> tuple[pl.Series, str]:
    values = series.cast(pl.Int64, strict=False)
    if not values.is_between(0, ID_LIMIT - 1).all():
        good = values.is_between(0, ID_LIMIT - 1)
        values = pl.select(pl.when(good).then(values).otherwise(None)).to_series()
    return values, f"an id is an integer in [0, 2^62) or blank; or declare it as text (--text {series.name})"


def _text_ids(series: pl.Series) -> tuple[pl.Series, str]:
    texts = series.cast(pl.String)
    distinct = texts.unique().drop_nulls()
    hashed = pl.Series([text_id(text) for text in distinct], dtype=pl.Int64)
    return texts.replace_strict(distinct, hashed, default=None, return_dtype=pl.Int64), "an id is text"


def times(series: pl.Series, kind: str) -> tuple[pl.Series, str]:
    """(N,) int64: integers as they are; dates and times in microseconds, those without a zone taken as UTC."""
    if kind == "integer":
        return series.cast(pl.Int64, strict=False), "a time is an integer, as the first values of its column"
    rule = "a time is an ISO 8601 date, or date and time, as the first values of its column"
    if series.dtype.is_temporal():
        return series.cast(pl.Datetime("us")).cast(pl.Int64), rule
    return iso_times(series.cast(pl.String)), rule


def iso_times(texts: pl.Series) -> pl.Series:
    """(N,) microseconds since 1970; null for what is not `YYYY-MM-DD[(T| )HH:MM[:SS[.fraction]][Z|+HH:MM]]`."""
    parts = texts.str.extract_groups(_ISO_TIME)
    date, clock, seconds, zone = (parts.struct.field(name) for name in ("date", "clock", "seconds", "zone"))
    whole = (
        date + "T" + clock.fill_null("00:00") + seconds.fill_null(":00") + zone.replace("Z", None).fill_null("+00:00")
    )
    parsed = whole.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%:z", time_unit="us", strict=False, ambiguous="null")
    return parsed.cast(pl.Int64)
