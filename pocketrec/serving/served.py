"""The artifact that answers, and how a new one takes its place without a request noticing."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pocketrec.artifact import Artifact, artifact_of
from pocketrec.errors import PocketrecError
from pocketrec.runtime import Model, load
from pocketrec.serving.gather import Gathering
from pocketrec.serving.metrics import Metrics
from pocketrec.serving.rows import RowsDecoder
from pocketrec.serving.settings import Settings

LOG = logging.getLogger("pocketrec.serving")
Signature = tuple[int, int, int]
"""(time of change, size, inode) of a file: another one means another file."""


@dataclass(frozen=True)
class Served:
    """One artifact, loaded and checked; a request keeps the one it began with."""

    artifact: Artifact
    model: Model
    decoder: RowsDecoder
    gathering: Gathering
    loaded_at: float = field(default_factory=time.time)

    @property
    def name(self) -> str:
        """The model's name, from its recipe."""
        return self.artifact.recipe.name

    @property
    def sha256(self) -> str:
        """Of the artifact's file."""
        return self.artifact.sha256


def load_served(path: Path, settings: Settings, threads: int, pool: Executor) -> Served:
    """Read, check and warm up the artifact, to be scored by so many threads of the pool.

    Raises PocketrecError (ArtifactError, ...) or OSError; nothing is kept then.
    """
    # Read rather than mapped: a file written over in place must not change under a model that answers.
    artifact = artifact_of(path.read_bytes(), str(path))
    # One core a batch, as many batches as cores: they never wait for each other's slowest part.
    model = load(artifact, settings.engine, threads=1, batches=True)
    decoder = RowsDecoder(artifact.recipe, settings.max_rows)
    return Served(artifact, model, decoder, Gathering(model.score, pool, threads))


class Holder:
    """The artifact being served, and the file it came from."""

    def __init__(self, path: Path, load: Callable[[Path], Served], metrics: Metrics) -> None:
        """Loads at once. Raises what `load` raises: a server that cannot score does not start."""
        self.path = path
        self.refused: dict[str, Any] | None = None
        """Why the file that is there now is not the one served: {"message", "at"}; None when it is."""
        self._load = load
        self._metrics = metrics
        self._lock = asyncio.Lock()
        self._tried = signature(path)
        self.current = load(path)
        self._tell_loaded()

    async def reload(self) -> bool:
        """Load the file beside the model that answers, then let it answer; whether that went well.

        A file that is refused leaves everything as it was, and `refused` says why.
        """
        async with self._lock:
            self._tried = signature(self.path)
            try:
                fresh = await asyncio.to_thread(self._load, self.path)
            except (PocketrecError, OSError, MemoryError) as error:
                self._tell_refused(str(error) or type(error).__name__)
                return False
            except Exception as error:
                LOG.exception("an error of ours while loading %s", self.path)
                self._tell_refused(f"{type(error).__name__}: {error}")
                return False
            self.current = fresh
            self._tell_loaded()
            return True

    async def watch(self, seconds: float) -> None:
        """Reload whenever the file has changed; looks every so many seconds, for ever."""
        while True:
            await asyncio.sleep(seconds)
            seen = signature(self.path)
            if seen is not None and seen != self._tried:
                await self.reload()

    def _tell_loaded(self) -> None:
        served = self.current
        self.refused = None
        self._metrics.serves(served.name, served.sha256, served.model.engine)
        LOG.info("serving %s (%s, sha256 %s)", served.name, self.path, served.sha256[:12])

    def _tell_refused(self, message: str) -> None:
        # Everybody may ask for health, and is not told where files lie.
        self.refused = {"message": message.replace(str(self.path), self.path.name), "at": time.time()}
        self._metrics.loads.labels("refused").inc()
        LOG.error("%s is refused, %s keeps answering: %s", self.path, self.current.name, message)


def signature(path: Path) -> Signature | None:
    """Of the file at `path`; None where there is none."""
    try:
        told = os.stat(path)
    except OSError:
        return None
    return told.st_mtime_ns, told.st_size, told.st_ino
