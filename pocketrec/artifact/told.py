"""A JSON object that must be understood whole: each field is asked for by the type it must have."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pocketrec.artifact.errors import ArtifactError, damaged

_SHA256 = re.compile(r"[0-9a-f]{64}")
_LONGEST = 200  # characters of a name
_SHOWN = 40


class Told:
    """Fields of one object. Every getter raises ArtifactError, naming the field, for what is not as it must be."""

    def __init__(self, fields: Any, where: str) -> None:
        if not isinstance(fields, Mapping):
            raise damaged(f"{where} is no object")
        self._fields, self._where = fields, where
        self._asked: set[str] = set()

    def get(self, name: str) -> Any:
        """The value of a field, of any type."""
        self._asked.add(name)
        if name not in self._fields:
            raise damaged(f"{self._where} lacks {name}")
        return self._fields[name]

    def all(self) -> dict[str, Any]:
        """Every field, unasked."""
        self._asked |= self._fields.keys()
        return dict(self._fields)

    def scalars(self) -> dict[str, float | int | str | None]:
        """Every field, unasked, each a number below 10^15, words on one line or null: to be shown."""
        for name, value in self.all().items():
            self._text("a field's name", name)
            if value is None:
                continue
            if isinstance(value, str):
                self._text(name, value)
            elif isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 10**15:
                raise self._wrong(name, value, "a number below 10^15, words or null")
        return dict(self._fields)

    def nothing_else(self) -> None:
        """Refuse a field that nobody asked for: it may change what the others mean."""
        unknown = sorted(str(name) for name in self._fields.keys() - self._asked)
        if unknown:
            raise ArtifactError(
                f"{self._where} has a field {unknown[0][:_SHOWN]!r} that this pocketrec does not know: upgrade it, or "
                "export the run again with this one"
            )

    def part(self, name: str) -> Told:
        """An object within."""
        return Told(self.get(name), self._path(name))

    def parts(self, name: str, most: int) -> list[Told]:
        """A list of objects."""
        return [Told(each, f"{self._path(name)}[{i}]") for i, each in enumerate(self._list(name, most))]

    def names(self, name: str, most: int) -> list[str]:
        """A list of names of columns."""
        return [self._text(f"{name}[{i}]", each) for i, each in enumerate(self._list(name, most))]

    def counts(self, name: str, most: int, below: int) -> list[int]:
        """A list of whole numbers."""
        values = self._list(name, most)
        for each in values:
            if type(each) is not int or not 0 <= each < below:
                raise self._wrong(name, each, f"counts below {below}")
        return list(values)

    def column(self, name: str) -> str:
        """The name of a column: text to be shown on one line."""
        return self._text(name, self.get(name))

    def name(self, name: str) -> str:
        """A name that may serve as one of a file: no path."""
        text = self._text(name, self.get(name))
        if re.search(r"[/\\:]", text) or text.startswith("."):
            raise self._wrong(name, text, "a name, not a path")
        return text

    def word(self, name: str) -> str:
        """A name made of letters, digits and signs that hold words together."""
        text = self.get(name)
        if not isinstance(text, str) or not re.fullmatch(r"[A-Za-z0-9_.-]{1,60}", text):
            raise self._wrong(name, text, "a word")
        return text

    def one_of(self, name: str, known: Sequence[str]) -> str:
        """One of the words known."""
        value = self.get(name)
        if not isinstance(value, str) or value not in known:
            shown = ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
            raise self._wrong(name, value, f"one of {shown}")
        return value

    def must_be(self, name: str, wanted: Any) -> None:
        """Refuse anything but the one value that is understood."""
        value = self.get(name)
        if type(value) is not type(wanted) or value != wanted:
            raise self._wrong(name, value, repr(wanted))

    def count(self, name: str, least: int, most: int) -> int:
        """A whole number."""
        value = self.get(name)
        if type(value) is not int or not least <= value <= most:
            raise self._wrong(name, value, f"a whole number from {least} to {most}")
        return value

    def number(self, name: str, least: float, most: float) -> float:
        """A number."""
        value = self.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise self._wrong(name, value, f"a number from {least} to {most}")
        return float(value)

    def sha256(self, name: str) -> str:
        """64 hex digits."""
        value = self.get(name)
        if not isinstance(value, str) or not _SHA256.fullmatch(value):
            raise self._wrong(name, value, "a SHA-256 in 64 hex digits")
        return value

    def _list(self, name: str, most: int) -> list[Any]:
        value = self.get(name)
        if not isinstance(value, list) or len(value) > most:
            raise self._wrong(name, value, f"a list of at most {most}")
        return value

    def _text(self, name: str, value: Any) -> str:
        if not isinstance(value, str) or not 0 < len(value) <= _LONGEST or not value.isprintable():
            raise self._wrong(name, value, f"text of 1 to {_LONGEST} characters on one line")
        return value

    def _path(self, name: str) -> str:
        return f"{self._where}.{name}" if "." in self._where.removesuffix(".json") else f"{self._where}: {name}"

    def _wrong(self, name: str, value: Any, wanted: str) -> ArtifactError:
        shown = str(value)[:_SHOWN] if not isinstance(value, float) or math.isfinite(value) else "a number too large"
        return damaged(f"{self._path(name)} must be {wanted}, got {shown!r}")
