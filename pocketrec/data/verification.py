"""Is a prepared folder still what `prepare` wrote? Sizes always, contents once per change of a file."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from pocketrec import files
from pocketrec.data.manifest import FileInfo, Manifest
from pocketrec.data.npy import file_sha256
from pocketrec.data.progress import Progress
from pocketrec.errors import DataError

STAMPS = "cache/verified.json"
_AGAIN = "prepare the log again into another folder"


def check_files(folder: Path, manifest: Manifest, *, verify: bool = False, progress: bool = True) -> None:
    """Raise DataError when a file is missing, short or altered.

    A file's contents are hashed when its time or size is not that of the last good check, or when `verify` asks for
    it: opening an untouched folder costs nothing, opening a copy reads it once.
    """
    stamps = {} if verify else _read_stamps(folder)
    for name, info in manifest.data_files.items():
        path = folder / name
        if not path.is_file():
            raise DataError(f"{folder}: {name} is missing: restore it, or {_AGAIN}")
        if path.stat().st_size != info.bytes:
            raise DataError(f"{path}: {path.stat().st_size} bytes, the manifest says {info.bytes}: cut off? {_AGAIN}")
    changed = {
        name: info for name, info in manifest.data_files.items() if stamps.get(name) != stamp(folder / name, info)
    }
    if changed:
        _check_contents(folder, changed, progress)
        write_stamps(folder, manifest)


def stamp(path: Path, info: FileInfo) -> list[int | str]:
    """What must be unchanged for a file to count as checked."""
    return [path.stat().st_mtime_ns, info.sha256]


def write_stamps(folder: Path, manifest: Manifest) -> None:
    """Remember that all files are good; a read-only folder is checked anew each time."""
    with contextlib.suppress(OSError):
        (folder / STAMPS).parent.mkdir(exist_ok=True)
        told = {name: stamp(folder / name, info) for name, info in manifest.data_files.items()}
        files.write_json(folder / STAMPS, told)


def _read_stamps(folder: Path) -> Mapping[str, object]:
    with contextlib.suppress(OSError, ValueError):
        told = files.read_json(folder / STAMPS)
        if isinstance(told, dict):
            return told
    return {}


def _check_contents(folder: Path, chosen: Mapping[str, FileInfo], progress: bool) -> None:
    with Progress("verify", sum(info.bytes for info in chosen.values()), "B", progress) as line:
        for name, info in chosen.items():
            if file_sha256(folder / name) != info.sha256:
                raise DataError(f"{folder / name}: altered since it was prepared (its hash differs): {_AGAIN}")
            line.advance(info.bytes)
