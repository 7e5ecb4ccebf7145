"""Rows or columns of raw values -> the two arrays a model takes. n rows, `n_dense` dense columns, F features."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from pocketrec.errors import UsageError, nearest
from pocketrec.runtime import values
from pocketrec.runtime.values import BadValue


class RowError(UsageError):
    """A raw value, or a row, that a model cannot take. `row` counts from 0; either is None where none is meant."""

    def __init__(self, what: str, row: int | None = None, feature: str | None = None) -> None:
        place = [] if row is None else [f"row {row}"]
        place += [] if feature is None else [f"feature {feature!r}"]
        super().__init__(f"{', '.join(place)}: {what}" if place else what)
        self.row, self.feature = row, feature


class Fields:
    """The columns of a model by name, and how their values are read."""

    def __init__(self, dense: Sequence[str], categorical: Sequence[tuple[str, str]]) -> None:
        """dense: names. categorical: (name, kind) of each feature, kind `hex`, `integer` or `text`."""
        self.dense, self.features = tuple(dense), tuple(name for name, _ in categorical)
        self.names = frozenset(self.dense + self.features)
        kinds = [kind for _, kind in categorical]
        self._groups: list[_Group] = [_Group(self.dense, None, values.dense)] if dense else []
        for kind in dict.fromkeys(kinds):
            places = np.array([place for place, each in enumerate(kinds) if each == kind])
            chosen = tuple(self.features[place] for place in places)
            self._groups.append(_Group(chosen, places, values.READERS[kind]))

    def parse_rows(self, rows: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
        """Objects, one a row -> (dense (n, n_dense) float32 with NaN for blanks, ids (n, F) int64).

        Raises RowError for a missing or an unknown feature, or a value that breaks its rule.
        """
        rows = self._checked_rows(rows)
        return self._assemble(len(rows), lambda group: group.of_rows(rows), by_row=True)

    def parse_columns(self, columns: Mapping[str, Sequence[Any]]) -> tuple[np.ndarray, np.ndarray]:
        """The same from one list a feature, all of one length."""
        lists = self._checked_columns(columns)
        rows = len(next(iter(lists.values()), []))
        return self._assemble(rows, lambda group: group.of_columns(lists), by_row=False)

    def _assemble(self, rows: int, flat: Callable[[_Group], list[Any]], by_row: bool) -> tuple[np.ndarray, np.ndarray]:
        dense = np.empty((rows, len(self.dense)), np.float32)
        ids = np.empty((rows, len(self.features)), np.int64)
        for group in self._groups if rows else []:
            width = len(group.names)
            try:
                read = group.read(flat(group))
            except BadValue as bad:
                row, column = divmod(bad.place, width) if by_row else divmod(bad.place, rows)[::-1]
                raise RowError(f"{bad.rule}, got {_shown(bad.value)}", row, group.names[column]) from None
            read = read.reshape(rows, width) if by_row else read.reshape(width, rows).T
            if group.places is None:
                dense = np.ascontiguousarray(read)
            else:
                ids[:, group.places] = read
        return dense, ids

    def _checked_rows(self, rows: Any) -> Sequence[Mapping[str, Any]]:
        if not isinstance(rows, list | tuple):
            raise RowError(f"rows are a list of objects, got {_shown(rows)}")
        if any(type(row) is not dict for row in rows):
            for number, row in enumerate(rows):
                if not isinstance(row, Mapping):
                    raise RowError(f"a row is an object of feature names and values, got {_shown(row)}", number)
        for number, row in enumerate(rows):
            if len(row) != len(self.names) or not self.names.issuperset(row):
                raise self._mismatch(row, number)
        return rows

    def _checked_columns(self, columns: Any) -> Mapping[str, list[Any]]:
        if not isinstance(columns, Mapping):
            raise RowError(f"columns are an object of feature names and lists, got {_shown(columns)}")
        if columns.keys() != self.names:
            raise self._mismatch(columns, None)
        lists = {}
        for name in (*self.dense, *self.features):
            column = columns[name]
            if isinstance(column, np.ndarray):
                column = column.tolist()
            if not isinstance(column, list | tuple):
                raise RowError(f"a column is a list of values, got {_shown(column)}", feature=name)
            lists[name] = list(column)
        first = next(iter(lists), None)
        for name, column in lists.items():
            if first is not None and len(column) != len(lists[first]):
                raise RowError(f"{len(column)} values, {first!r} has {len(lists[first])}: give one a row", feature=name)
        return lists

    def _mismatch(self, named: Mapping[str, Any], row: int | None) -> RowError:
        for name in (*self.dense, *self.features):
            if name not in named:
                return RowError('missing: give every feature of the model (null or "" for a blank)', row, name)
        # Shortened: a name that somebody made up may be as long as the request.
        unknown = str(next(name for name in named if name not in self.names))[:60]
        return RowError(f"the model has no such feature: {nearest(unknown, self.names)}", row, unknown)


class _Group:
    """The columns of one kind: their values are read in one go."""

    def __init__(
        self, names: tuple[str, ...], places: np.ndarray | None, read: Callable[[list[Any]], np.ndarray]
    ) -> None:
        """places: of the names among the features; None for the dense columns."""
        self.names, self.places, self.read = names, places, read
        self._get: Callable[[Mapping[str, Any]], Any] = itemgetter(*names)

    def of_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Their values, row after row."""
        picked = map(self._get, rows)
        return list(picked) if len(self.names) == 1 else list(chain.from_iterable(picked))

    def of_columns(self, lists: Mapping[str, list[Any]]) -> list[Any]:
        """Their values, column after column."""
        return list(chain.from_iterable(lists[name] for name in self.names))


def _shown(value: Any) -> str:
    """A value short enough for a message, whatever it is."""
    try:
        return _repr.repr(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        return "a number of thousands of digits"


_repr = reprlib.Repr()
_repr.maxstring = _repr.maxlong = _repr.maxother = 60
_repr.maxlist = _repr.maxtuple = _repr.maxdict = 3
_repr.maxlevel = 2
