"""`manifest.json`: everything there is to know about a prepared folder, and its check."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pocketrec import files
from pocketrec.data.split import SPLITS
from pocketrec.errors import DataError

VERSION = 1
NAME = "manifest.json"
KINDS = ("labels", "dense", "sparse")
VOCABULARY_FILES = ("vocabulary_ids.npy", "vocabulary_counts.npy")


@dataclass(frozen=True)
class FileInfo:
    """A file as it was written."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class InputFile:
    """One raw log file."""

    name: str
    bytes: int
    modified_ns: int
    sha256: str = ""


@dataclass(frozen=True)
class Shard:
    """What one input file became."""

    index: int
    rows: dict[str, int]
    """Split -> rows."""
    files: dict[str, FileInfo]
    """Name in the folder -> bytes and hash."""
    skipped: dict[str, int]
    """Rule -> rows left out for breaking it."""

    def path(self, folder: Path, split: str, kind: str) -> Path:
        """The file of `kind` `labels`, `dense` or `sparse`."""
        return folder / shard_name(split, self.index, kind)


def shard_name(split: str, index: int, kind: str) -> str:
    """`train_00000_labels.npy`: TorchRec's triple of files per shard."""
    return f"{split}_{index:05d}_{kind}.npy"


@dataclass(frozen=True)
class Manifest:
    """The contents of `manifest.json`."""

    version: int
    format: str
    label_name: str
    dense_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    id_kinds: tuple[str, ...]
    """Per feature: `hex` (uint32 of 8 hex digits), `integer` (itself) or `text` (SHA-256, see `pocketrec.hashing`)."""
    id_dtype: str
    """Of `*_sparse.npy`."""
    id_bits: int
    """Ids are below 2**id_bits."""
    label_dtype: str
    """Of `*_labels.npy`; `*_dense.npy` is float32."""
    split: str
    rows: dict[str, int]
    """Split -> rows."""
    min_count: int
    cardinalities: tuple[int, ...]
    """Distinct values per feature seen in training; a blank is the value 0."""
    kept: tuple[int, ...]
    """Of these, the values seen at least `min_count` times."""
    skipped: dict[str, int]
    """Rule -> rows left out for breaking it, over all files."""
    inputs: tuple[InputFile, ...]
    shards: tuple[Shard, ...]
    vocabulary_files: dict[str, FileInfo]
    options: dict[str, Any]
    """The arguments `prepare` was called with, as far as they shape the data."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the prepared data do: a hash over the hashes of all files and the columns' names."""
        told = [self.version, self.dense_names, self.feature_names, self.id_kinds, self.id_dtype, self.rows]
        hashes = [sorted((name, info.sha256) for name, info in self.data_files.items())]
        return hashlib.sha256(json.dumps([told, hashes]).encode()).hexdigest()[:32]

    @property
    def data_files(self) -> dict[str, FileInfo]:
        """Every file of the folder except the manifest."""
        return {name: info for shard in self.shards for name, info in shard.files.items()} | self.vocabulary_files

    def write(self, folder: Path) -> None:
        """Write `manifest.json` into `folder`, atomically."""
        files.write_json(folder / NAME, {**asdict(self), "fingerprint": self.fingerprint})


def read_manifest(folder: Path) -> Manifest:
    """Read `manifest.json`. Raises DataError when it is missing, of another version, or not a manifest."""
    path = folder / NAME
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder: write one with pocketrec prepare")
    if not path.exists():
        raise DataError(f"{folder}: no {NAME}: not a prepared folder, or prepare did not finish; run it (again)")
    try:
        told = files.read_json(path)
        if told["version"] != VERSION:
            raise DataError(
                f"{path}: format version {told['version']}, this pocketrec reads {VERSION}: prepare the log again"
            )
        # A folder written before fingerprints were has none.
        fingerprint = told.pop("fingerprint", None)
        manifest = _from_json(told)
        check_consistent(manifest)
        if fingerprint not in (None, manifest.fingerprint):
            raise ValueError("edited: its fingerprint is not that of what it says")
        return manifest
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: damaged ({_reason(error)}): prepare the log again") from None


def _reason(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error)


def shard_from_json(told: dict[str, Any]) -> Shard:
    """The inverse of `asdict`."""
    return Shard(**(told | {"files": {name: FileInfo(**info) for name, info in told["files"].items()}}))


def _from_json(told: dict[str, Any]) -> Manifest:
    lists = ("dense_names", "feature_names", "id_kinds", "cardinalities", "kept")
    return Manifest(
        **(
            told
            | {name: tuple(told[name]) for name in lists}
            | {
                "inputs": tuple(InputFile(**each) for each in told["inputs"]),
                "shards": tuple(shard_from_json(each) for each in told["shards"]),
                "vocabulary_files": {name: FileInfo(**info) for name, info in told["vocabulary_files"].items()},
            }
        )
    )


def check_consistent(manifest: Manifest) -> None:
    """Raise ValueError where the parts of a manifest contradict each other."""
    features = len(manifest.feature_names)
    for name in ("id_kinds", "cardinalities", "kept"):
        if len(getattr(manifest, name)) != features:
            raise ValueError(f"{len(getattr(manifest, name))} {name} for {features} features")
    rows = [manifest.rows, *(shard.rows for shard in manifest.shards)]
    sizes = [info.bytes for info in manifest.data_files.values()]
    _check_counts([manifest.min_count, *manifest.cardinalities, *manifest.kept, *sizes])
    for each in rows:
        if set(each) != set(SPLITS):
            raise ValueError(f"rows of {sorted(each)}")
        _check_counts(each.values())
    for split in SPLITS:
        if sum(shard.rows[split] for shard in manifest.shards) != manifest.rows[split]:
            raise ValueError(f"the {split} rows of the shards are not {manifest.rows[split]} together")
    if any(kept > distinct for kept, distinct in zip(manifest.kept, manifest.cardinalities, strict=True)):
        raise ValueError("more values kept than there are")
    _check_names(manifest)


def _check_counts(counts: Iterable[object]) -> None:
    for count in counts:
        if type(count) is not int or count < 0:
            raise ValueError(f"{count!r} is not a count")


def _check_names(manifest: Manifest) -> None:
    """Every file that reading relies on is listed, so that its size and its hash are checked."""
    needed = set(VOCABULARY_FILES)
    for shard in manifest.shards:
        needed |= {shard_name(split, shard.index, kind) for split in SPLITS if shard.rows[split] for kind in KINDS}
    missing = sorted(needed - set(manifest.data_files))
    if missing:
        raise ValueError(f"{missing[0]} is not listed")
    foreign = [name for name in manifest.data_files if Path(name).name != name]
    if foreign:
        raise ValueError(f"{foreign[0]!r} is not in the folder")
