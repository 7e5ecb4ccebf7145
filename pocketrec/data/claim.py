"""The output folder of `prepare`: new, half done by the same command, finished, or somebody else's."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pocketrec import files
from pocketrec.data.lock import NAME as LOCK, lock_folder
from pocketrec.data.manifest import NAME, InputFile, Manifest, Shard, read_manifest, shard_from_json
from pocketrec.data.npy import file_sha256
from pocketrec.data.runs import RunFile
from pocketrec.errors import DataError, UsageError

SCRATCH = "preparing"
_PLAN = "plan.json"
_REMEDY = "delete the folder or choose another one"


def check_inputs(paths: Sequence[Path]) -> list[InputFile]:
    """Describe the input files. Raises UsageError for none or repeated ones, DataError for missing or empty ones."""
    if not paths:
        raise UsageError("no input file: name at least one click log")
    seen: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise DataError(f"{path}: no such file: check the name and the folder it is in")
        if not path.is_file():
            raise DataError(f"{path}: not a file: name the files in it, each becomes a shard")
        if path.resolve() in seen:
            raise UsageError(f"{path}: named twice: every row would count twice")
        seen.add(path.resolve())
        if path.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty: leave it out, or copy or download it again")
    return [InputFile(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]


class Claim:
    """An output folder that is ours to write: new, or left by the same command when it was killed.

    It is locked until `release` or `undo`: a second prepare would destroy the work of the first.
    """

    def __init__(self, folder: Path, options: dict[str, Any], inputs: Sequence[InputFile]) -> None:
        """Claim `folder`. Raises DataError when it holds something else or another prepare is writing there."""
        self.folder, self.scratch = folder, folder / SCRATCH
        if folder.exists() and not folder.is_dir():
            raise DataError(f"{folder}: exists and is not a folder: choose another output folder")
        self._made = _make(folder)
        if not _left_by_prepare(folder):
            raise DataError(f"{folder}: exists and holds something else: choose another output folder")
        lock = lock_folder(self.scratch)
        if lock is None:
            raise DataError(f"{folder}: another prepare is writing here: wait for it or choose another output folder")
        self._lock = lock
        try:
            self._plan({"options": options, "inputs": [asdict(each) for each in inputs]})
        except BaseException:
            self.unlock()
            raise

    def _plan(self, plan: dict[str, Any]) -> None:
        """Write the plan, or find the same one there."""
        path = self.scratch / _PLAN
        if path.exists():
            before = _read_plan(path)
            self._made = before.pop("made", 0)
            if before != plan:
                raise DataError(
                    f"{self.folder}: left by a prepare of other files or options that did not finish: {_REMEDY}"
                )
            print(f"{self.folder}: going on where an earlier prepare stopped", file=sys.stderr)
        else:
            try:
                files.write_json(path, {**plan, "made": self._made})
            except OSError:
                self.undo()
                raise
        for leftover in self.folder.glob(".*.part"):
            leftover.unlink()

    def finished_shard(self, index: int) -> tuple[Shard, list[RunFile], str] | None:
        """(shard, counts, hash of the input) when an earlier run finished it, else None."""
        try:
            told = files.read_json(self._marker(index))
            runs = [RunFile(self.scratch / name, tuple(offsets)) for name, offsets in told["runs"]]
            shard = shard_from_json(told["shard"])
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return None
        paths = [run.path for run in runs] + [self.folder / name for name in shard.files]
        return (shard, runs, told["input_sha256"]) if all(path.exists() for path in paths) else None

    def mark_finished(self, shard: Shard, runs: Sequence[RunFile], input_sha256: str) -> None:
        """Remember that a shard is done."""
        told = {
            "shard": asdict(shard),
            "runs": [(run.path.name, run.offsets) for run in runs],
            "input_sha256": input_sha256,
        }
        files.write_json(self._marker(shard.index), told)

    def release(self) -> None:
        """Remove what is no longer needed once the manifest is written."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.unlock()

    def unlock(self) -> None:
        """Let another prepare go on."""
        self._lock.close()

    def undo(self) -> None:
        """Remove everything that was written, and the folders that were made for it."""
        for pattern in ("*_[0-9][0-9][0-9][0-9][0-9]_*.npy", "vocabulary_*.npy", ".*.part", NAME):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.unlock()
        with contextlib.suppress(OSError):
            for made in (self.folder, *self.folder.parents)[: self._made]:
                made.rmdir()

    def _marker(self, index: int) -> Path:
        return self.scratch / f"shard_{index:05d}.json"


def _make(folder: Path) -> int:
    """Make `folder`; returns how many folders that took, itself and parents."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return len(missing)


def _left_by_prepare(folder: Path) -> bool:
    """Empty, with a plan, or killed before the plan was written."""
    if (folder / SCRATCH / _PLAN).exists():
        return True
    if any(path.name != SCRATCH for path in folder.iterdir()):
        return False
    scratch = folder / SCRATCH
    return not scratch.exists() or all(
        path.name == LOCK or path.match(f".{_PLAN}.*.part") for path in scratch.iterdir()
    )


def _read_plan(path: Path) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        told = files.read_json(path)
        if isinstance(told, dict):
            return told
    raise DataError(f"{path}: damaged, so an earlier prepare cannot go on: {_REMEDY}")


def finished_manifest(
    folder: Path, paths: Sequence[Path], options: dict[str, Any], inputs: Sequence[InputFile]
) -> Manifest | None:
    """The manifest when `folder` was already prepared by the same command, None when it was not prepared at all.

    Raises DataError when it was prepared from other files or with other options.
    """
    if not (folder / NAME).exists():
        return None
    manifest = read_manifest(folder)
    same_inputs = len(inputs) == len(manifest.inputs) and all(
        _same(path, now, then) for path, now, then in zip(paths, inputs, manifest.inputs, strict=True)
    )
    if manifest.options != options or not same_inputs:
        what = "options" if same_inputs else "files"
        raise DataError(f"{folder}: holds a log prepared from other {what}: choose another output folder or delete it")
    shutil.rmtree(folder / SCRATCH, ignore_errors=True)
    return manifest


def _same(path: Path, now: InputFile, then: InputFile) -> bool:
    if (now.name, now.bytes) != (then.name, then.bytes):
        return False
    return now.modified_ns == then.modified_ns or file_sha256(path) == then.sha256
