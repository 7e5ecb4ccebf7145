"""What a calibration is of: tables, memory, training step, machine and versions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pocketrec.data.system import machine
from pocketrec.errors import one_of
from pocketrec.plan.machine import cache_folder, threads, versions
from pocketrec.plan.memory import STATE_BYTES


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is measured. Two settings that are equal have one calibration; any difference calls for another."""

    tables: tuple[tuple[int, int], ...]
    """(rows, D) of each."""
    slots: int
    sharing: str
    chunk_size: int
    optimizer: str
    batch_size: int
    machine: str
    versions: str
    threads: int

    @classmethod
    def here(
        cls,
        tables: Sequence[tuple[int, int]],
        slots: int,
        sharing: str,
        chunk_size: int,
        *,
        optimizer: str,
        batch_size: int,
    ) -> Setting:
        """On this machine, at these versions."""
        return cls(
            tables=tuple(tables),
            slots=slots,
            sharing=sharing,
            chunk_size=chunk_size,
            optimizer=one_of("optimizer", optimizer, STATE_BYTES),
            batch_size=batch_size,
            machine=machine(),
            versions=versions(),
            threads=threads(),
        )

    @property
    def path(self) -> Path:
        """The file of its calibration."""
        digest = hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:16]
        return cache_folder() / f"calibration-{digest}.json"
