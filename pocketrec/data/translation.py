"""Shards of raw ids translated once and kept: a search per id and batch would cost more than training."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path

import numpy as np

from pocketrec import files
from pocketrec.data.ids import Ids
from pocketrec.data.progress import Progress
from pocketrec.data.system import os_errors_told

_BLOCK_ROWS = 1 << 16


class TranslationCache:
    """Translated copies of `*_sparse.npy` under `<folder>/cache`, or in a temporary folder when that is read-only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "cache"
        self._temporary: Path | None = None

    def translated(self, sparse: Path, ids: Ids, progress: bool) -> Path:
        """The .npy with the translated ids of one shard; written when missing. Several processes may do so at once."""
        key = ids.key()
        if key is None:
            return sparse
        target = self._place() / f"{key}_{sparse.stem.removesuffix('_sparse')}.npy"
        raw = np.load(sparse, mmap_mode="r")
        if not _usable(target, raw.shape, ids):
            with os_errors_told(target), files.atomic_path(target) as part:
                _translate(raw, ids, part, progress)
        return target

    def _place(self) -> Path:
        if self._temporary is None:
            try:
                self.folder.mkdir(exist_ok=True)
                if os.access(self.folder, os.W_OK):
                    return self.folder
            except OSError:
                pass
            self._temporary = Path(tempfile.mkdtemp(prefix="pocketrec-"))
            # Memory maps outlive the names of their files.
            weakref.finalize(self, shutil.rmtree, self._temporary, ignore_errors=True)
        return self._temporary


def _usable(path: Path, shape: tuple[int, ...], ids: Ids) -> bool:
    if not path.exists():
        return False
    try:
        found = np.load(path, mmap_mode="r")
    except (ValueError, EOFError):
        return False
    return found.shape == shape and found.dtype == ids.out_dtype


def _translate(raw: np.ndarray, ids: Ids, target: Path, progress: bool) -> None:
    with target.open("wb") as file, Progress(f"{ids.name} ids", len(raw), " rows", progress) as line:
        header = {"descr": np.dtype(ids.out_dtype).str, "fortran_order": False, "shape": raw.shape}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(raw), _BLOCK_ROWS):
            block = np.asarray(raw[start : start + _BLOCK_ROWS])
            file.write(ids.translate(block).astype(ids.out_dtype).data)
            line.advance(len(block))
