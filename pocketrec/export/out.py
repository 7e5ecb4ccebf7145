"""Where an export goes, and in what format: what cannot be is said before minutes are spent on it."""

from __future__ import annotations

import os
from pathlib import Path

from pocketrec.errors import UsageError, one_of

ENDINGS = {"pocket": ".pocket", "onnx": ".onnx", "pt2": ".pt2", "aoti": ".pt2"}
"""Of each format's files, by convention. A file may have another one, but not that of another format."""


def format_of(out: str | os.PathLike[str], wanted: str | None) -> str:
    """The format wanted, else the one that `out` ends in, else an artifact.

    Raises:
        UsageError: an unknown one; a file named as one of another format.
    """
    ending = Path(out).suffix.lower()
    told = next((name for name, own in ENDINGS.items() if own == ending), None)
    if wanted is None:
        return told or "pocket"
    own = ENDINGS[one_of("format", wanted, ENDINGS)]
    if told is not None and own != ending:
        raise UsageError(
            f"out: {out} is the name of a {told} file, and format is {wanted}: call it "
            f"{Path(out).with_suffix(own)}, or leave --format out for {told}"
        )
    return wanted


def check_out(out: str | os.PathLike[str]) -> None:
    """Raise UsageError where no file can be written: at a folder, below something that is none, or in one of others."""
    path = Path(out)
    if path.is_dir():
        raise UsageError(f"out: {out} is a folder, and must be a file: add its name, such as {path / 'model.pocket'}")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise UsageError(f"out: must be a file in a folder, and {above} is no folder: choose another")
    if not os.access(above, os.W_OK):
        raise UsageError(f"out: {above} cannot be written to: choose another folder")
