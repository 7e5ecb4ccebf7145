"""`study.toml` and the command line -> StudyConfig; and the same study again, or another one, in a folder."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from pocketrec.errors import DataError, UsageError, nearest
from pocketrec.files import write_text
from pocketrec.study.columns import SETTINGS_FILE
from pocketrec.study.config import ANY_TIME, StudyConfig
from pocketrec.study.toml import to_toml
from pocketrec.study.ways import Way

FINGERPRINT = "fingerprint"
_KNOWN = frozenset(f.name for f in fields(StudyConfig)) - {"out"} | {FINGERPRINT}
_LISTS = ("schemes", "compressions", "targets", "ways")
_HEAD = "# What this study compares. `pocketrec study --out` with this folder goes on with it.\n"


def load_config(
    out: str | os.PathLike[str], file: str | os.PathLike[str] | None = None, given: Mapping[str, Any] | None = None
) -> StudyConfig:
    """The config of `file` with what is `given` in its place; without either, that of the study in `out`.

    Raises UsageError for an unknown or senseless key, DataError for a file that is missing or no TOML.
    """
    given = {name: value for name, value in (given or {}).items() if value is not None}
    own = Path(out) / SETTINGS_FILE
    if file is None and "data" not in given and own.exists():
        file = own
    told = {**(_read(Path(file)) if file is not None else {}), **given}
    if "data" not in told:
        raise UsageError("data: missing: give --data DIR, a folder written by pocketrec prepare")
    return _config(told, str(out), str(file or "the command line"))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file: check the name and the folder it is in") from None
    except ValueError as error:
        raise DataError(f"{path}: is not TOML: {error}") from None


def _config(told: dict[str, Any], out: str, where: str) -> StudyConfig:
    for name in told:
        if name not in _KNOWN:
            raise UsageError(f"{where}: unknown key {name!r}: {nearest(name, _KNOWN)}")
    told = {name: value for name, value in told.items() if name != FINGERPRINT}
    for name in _LISTS:
        if name in told:
            if isinstance(told[name], str) or not isinstance(told[name], list | tuple):
                raise UsageError(f"{where}: {name} must be a list, got {told[name]!r}")
            told[name] = tuple(told[name])
    if "ways" in told:
        told["ways"] = tuple(_way(each, where) for each in told["ways"])
    return StudyConfig(**told, out=out)


def _way(told: Any, where: str) -> Way:
    if isinstance(told, Way):
        return told
    if not isinstance(told, dict) or "name" not in told:
        raise UsageError(f"{where}: each [[ways]] must be a table with a name, got {told!r}")
    return Way(told["name"], {name: value for name, value in told.items() if name != "name"})


def claim(folder: Path, config: StudyConfig, fingerprint: str) -> None:
    """Write `study.toml` into a new folder; in one that has it, check that it is this study.

    Raises UsageError, saying what differs, for another study.
    """
    from pocketrec.training.checkpoint import differences

    path = folder / SETTINGS_FILE
    now = config.as_dict() | {FINGERPRINT: fingerprint}
    if path.exists():
        before = _read(path)
        was, is_now = ({k: v for k, v in told.items() if k not in ANY_TIME} for told in (before, _plain(now)))
        if differing := differences(was, is_now):
            raise UsageError(
                f"{folder}: holds another study: {'; '.join(differing)}: repeat its command, or choose another --out"
            )
        if before == _plain(now):
            return
    write_text(path, _HEAD + to_toml(now))


def _plain(told: Mapping[str, Any]) -> dict[str, Any]:
    """As it will be read again."""
    return tomllib.loads(to_toml(told))
