"""One process at a time in a folder: the system forgets the lock when its holder ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

NAME = "lock"


def lock_folder(folder: Path) -> IO[bytes] | None:
    """Create `folder` and lock it until the file returned is closed; None when another process holds it."""
    while True:
        folder.mkdir(exist_ok=True)
        try:
            file = (folder / NAME).open("ab")
        except FileNotFoundError:
            # Its last holder has just removed the folder.
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        if _is_still_at(folder / NAME, file):
            return file
        file.close()


def _is_still_at(path: Path, file: IO[bytes]) -> bool:
    """False when the last holder removed `path` between our opening and our locking it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
