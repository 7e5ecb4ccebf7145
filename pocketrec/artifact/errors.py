"""What a file that is no artifact is answered with."""

from __future__ import annotations

from pocketrec.errors import DataError

AGAIN = "copy it again from where it came, or write it again with pocketrec export"


class ArtifactError(DataError):
    """A file that is damaged, hostile, or of a version this pocketrec does not read; nothing of it was used."""


def damaged(what: str) -> ArtifactError:
    """The error for a file that `pocketrec export` cannot have written as it is."""
    return ArtifactError(f"{what}: {AGAIN}")
