"""Raw values of one kind -> an array, by the rules of `pocketrec prepare` (pocketrec/data/convert.py), bit for bit.

Each reader tries the whole list at once, in a handful of passes of C, since a request of 256 rows has 10,000 values;
only a list that is not plain is gone through value by value. A value that breaks the rule raises `BadValue` with its
place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from pocketrec.hashing import BLANK_ID, ID_LIMIT, text_id

DENSE_RULE = "a dense value is a finite number within float32, or blank"
HEX_RULE = "a categorical value is at most 8 hex digits or blank"
INTEGER_RULE = "an id is an integer in [0, 2^62) or blank"
TEXT_RULE = "an id is text or blank"
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,4000}")
_HEX = re.compile(r"[0-9a-fA-F]{1,8}")
_LARGEST = float(np.finfo(np.float32).max)
_BLANK_HEX = "00000000"


class BadValue(Exception):
    """The value at `place` of a list breaks `rule`."""

    def __init__(self, place: int, rule: str, value: Any) -> None:
        super().__init__(place, rule, value)
        self.place, self.rule, self.value = place, rule, value


def dense(values: list[Any]) -> np.ndarray:
    """(n,) float32; NaN where blank. Numbers, numbers as text, None and "" (blank)."""
    types = set(map(type, values))
    blanks = 0
    if type(None) in types:
        blanks = values.count(None)
        types.remove(type(None))
    if not types <= {float, int}:
        return _one_by_one(values, _dense, np.float32)
    try:
        numbers = np.array(values, np.float64)  # None becomes NaN
    except OverflowError:
        return _one_by_one(values, _dense, np.float32)
    # False for NaN.
    inside = np.abs(numbers) <= _LARGEST
    if np.count_nonzero(inside) != len(values) - blanks:
        return _one_by_one(values, _dense, np.float32)
    return numbers.astype(np.float32)


def hex_ids(values: list[Any]) -> np.ndarray:
    """(n,) int64 ids of up to 8 hex digits; None and "" (blank) are 0."""
    try:
        return _packed_hex([_BLANK_HEX if value is None else value for value in values])
    except (TypeError, ValueError):
        pass
    if set(map(type, values)) <= {str, type(None)}:
        try:
            return _packed_hex([(value or _BLANK_HEX).rjust(8, "0") for value in values])
        except ValueError:
            pass
    return _one_by_one(values, _hex, np.int64)


def _packed_hex(values: list[str]) -> np.ndarray:
    """Of 8 digits each. Raises TypeError or ValueError for anything else."""
    text = "\n".join(values)
    # With exactly so many characters, line ends at the right places and four bytes a value, nothing else can be in it:
    # `fromhex` skips white space, and takes the line ends for it.
    if len(text) != 9 * len(values) - 1 or text[8::9].count("\n") != len(values) - 1:
        raise ValueError
    packed = bytes.fromhex(text)
    if len(packed) != 4 * len(values):
        raise ValueError
    return np.frombuffer(packed, ">u4").astype(np.int64)


def integer_ids(values: list[Any]) -> np.ndarray:
    """(n,) int64 ids: integers, integers as text, booleans (1 and 0); None and "" (blank) are 0."""
    if set(map(type, values)) <= {int, bool}:
        try:
            ids = np.array(values, np.int64)
        except OverflowError:
            return _one_by_one(values, _integer, np.int64)
        if not len(ids) or (ids.min() >= 0 and ids.max() < ID_LIMIT):
            return ids
    return _one_by_one(values, _integer, np.int64)


def text_ids(values: list[Any]) -> np.ndarray:
    """(n,) int64 ids of text; None and "" (blank) are 0."""
    if set(map(type, values)) <= {str}:
        try:
            known = {text: text_id(text) for text in set(values)}
        except UnicodeEncodeError:
            return _one_by_one(values, _text, np.int64)
        return np.array([known[text] for text in values], np.int64)
    return _one_by_one(values, _text, np.int64)


READERS: dict[str, Callable[[list[Any]], np.ndarray]] = {"hex": hex_ids, "integer": integer_ids, "text": text_ids}
"""Kind -> what reads it."""


def _one_by_one(values: list[Any], read: Callable[[Any], Any], dtype: Any) -> np.ndarray:
    read_values = np.empty(len(values), dtype)
    for place, value in enumerate(values):
        try:
            read_values[place] = read(value)
        except _Broken as broken:
            raise BadValue(place, str(broken), value) from None
    return read_values


class _Broken(Exception):
    """The rule that a value breaks."""


def _dense(value: Any) -> float:
    if value is None or (isinstance(value, str) and not value):
        return math.nan
    if isinstance(value, str):
        # Python's own reading would also take white space, underscores and other scripts' digits.
        if not _NUMBER.fullmatch(value):
            raise _Broken(DENSE_RULE)
        value = float(value)
    if isinstance(value, np.number):
        value = value.item()
    # A whole number that no float holds compares as it should.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
        raise _Broken(DENSE_RULE)
    return float(value)


def _hex(value: Any) -> int:
    if isinstance(value, str):
        if not value:
            return BLANK_ID
        if _HEX.fullmatch(value):
            return int(value, 16)
    return _blank_or_id(value, HEX_RULE)


def _integer(value: Any) -> int:
    if isinstance(value, str):
        if not value:
            return BLANK_ID
        if not _INTEGER.fullmatch(value):
            raise _Broken(INTEGER_RULE)
        return _inside(int(value), INTEGER_RULE)
    if isinstance(value, int | np.integer):
        return _inside(int(value), INTEGER_RULE)
    return _blank_or_id(value, INTEGER_RULE)


def _text(value: Any) -> int:
    if isinstance(value, str):
        try:
            return text_id(value)
        except UnicodeEncodeError:
            raise _Broken("text is Unicode without lone surrogates") from None
    # A column of numbers that was declared as text was read as their digits.
    if isinstance(value, int) and not isinstance(value, bool):
        return text_id(str(value)) if abs(value) < 1 << 64 else _refuse(TEXT_RULE)
    return _blank_or_id(value, TEXT_RULE)


def _blank_or_id(value: Any, rule: str) -> int:
    """0 for None; N for `{"id": N}`, which stands for a raw id whose text is not known any more."""
    if value is None:
        return BLANK_ID
    if isinstance(value, dict) and value.keys() == {"id"} and type(value["id"]) is int:
        return _inside(value["id"], INTEGER_RULE)
    return _refuse(rule)


def _inside(number: int, rule: str) -> int:
    return number if 0 <= number < ID_LIMIT else _refuse(rule)


def _refuse(rule: str) -> int:
    raise _Broken(rule)
