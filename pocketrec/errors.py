"""The errors a user sees: what was wrong, the rule, the value got, what to do. Floor 0."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable
from numbers import Real
from typing import Any


class PocketrecError(Exception):
    """An error with a message meant for the user; the command line prints it without a traceback.

    `exit_code` is what the command line exits with.
    """

    exit_code = 1


class UsageError(PocketrecError, ValueError):
    """An argument or a flag that makes no sense (exit code 2)."""

    exit_code = 2


class DataError(PocketrecError, ValueError):
    """A file or folder that cannot be read, or holds something it must not (exit code 1)."""


class TrainingError(PocketrecError, RuntimeError):
    """A run that cannot go on: the loss is not a number, the checkpoint is another model's (exit code 1)."""


class DivergedError(TrainingError):
    """Weights, a loss or predictions that are no finite numbers, though the data are: other settings may do better."""


def whole_number(name: str, value: Any, *, at_least: int) -> int:
    """`value` as an int. Raises UsageError, naming it, for anything but a whole number of at least so much."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise UsageError(f"{name} must be a whole number, got {value!r}")
    if number < at_least:
        raise UsageError(f"{name} must be at least {at_least}, got {number}")
    return number


def real_number(name: str, value: Any, interval: str) -> float:
    """`value` as a float. Raises UsageError, naming it, for anything but a number in an interval such as "(0, 1]"."""
    low, high = (float(bound) for bound in interval[1:-1].split(","))
    if isinstance(value, Real) and not isinstance(value, bool):
        number = float(value)
        above = number >= low if interval[0] == "[" else number > low
        if above and (number <= high if interval[-1] == "]" else number < high):
            return number
    raise UsageError(f"{name} must be a number in {interval}, got {value!r}")


def one_of(name: str, value: Any, known: Iterable[str]) -> str:
    """`value`, one of the words known. Raises UsageError, naming it, for anything else; says the nearest."""
    known = list(known)
    if not isinstance(value, str) or value not in known:
        raise UsageError(f"{name}: unknown name {value!r}: {nearest(value, known)}")
    return value


def true_or_false(name: str, value: Any) -> bool:
    """`value`, a bool. Raises UsageError, naming it, for anything else, such as the word "no"."""
    if not isinstance(value, bool):
        raise UsageError(f"{name} must be True or False, got {value!r}")
    return value


def nearest(word: Any, known: Iterable[str]) -> str:
    """`": did you mean 'robe'?"` when some known word is close to `word`, else the list of known words."""
    known = sorted(known)
    if not known:
        return "there are none"
    close = difflib.get_close_matches(str(word), known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(known)}"
