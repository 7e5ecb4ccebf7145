"""StudyConfig: what a study compares, on what, and with how much effort. What `study.toml` holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from pocketrec.errors import UsageError, nearest, one_of, whole_number
from pocketrec.study.cell import FULL, Cell
from pocketrec.study.read import DEFAULT_TARGETS
from pocketrec.study.targets import target
from pocketrec.study.ways import WAYS, Way

OWN = ("model", "preset", "sharing", "compression", "memory_size", "seed", "threads", "tensorboard")
"""Flags of `pocketrec train` that the study gives itself."""
ANY_TIME = ("jobs", "targets", "data")
"""What may change when a study goes on: none of them changes a run. The data must be the same, wherever they lie."""


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """One study. Raises UsageError, naming the field, its rule and the value, for one that makes no sense."""

    data: str
    """A folder written by `pocketrec prepare`, with validation and test rows."""
    out: str
    """The study's folder."""
    model: str = "dlrm"
    """The ranker, a word of `pocketrec.models.MODELS`."""
    preset: str = "kaggle"
    """Layer sizes, and the D at which compression is counted."""
    schemes: tuple[str, ...] = ("robe",)
    """Words of `pocketrec.sharing.SCHEMES`; full tables are always compared."""
    compressions: tuple[float, ...] = (10, 100, 1000)
    """Full bytes / stored bytes, each tried with each scheme."""
    seeds: int = 3
    """Finals of a cell: seeds 0, 1, ...; the first one is also that of tuning."""
    epochs: int | None = None
    """At most so many, whatever a way says."""
    targets: tuple[str, ...] = DEFAULT_TARGETS
    """Validation AUC to reach: `full-0.001` or `0.80`."""
    jobs: int | None = None
    """Runs side by side, on one thread each; None takes the processors there are."""
    ways: tuple[Way, ...] = WAYS
    """What every cell is tuned over."""
    flags: Mapping[str, Any] = field(default_factory=dict)
    """Flags of `pocketrec train` for every run, such as `batch_size`."""
    flags_of: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The same for the runs of one scheme, by its word; `full` too."""

    def __post_init__(self) -> None:
        for name in ("data", "out"):
            if not getattr(self, name) or not isinstance(getattr(self, name), str):
                raise UsageError(f"{name}: must be a folder, got {getattr(self, name)!r}")
        self._check_words()
        self._check_numbers()
        object.__setattr__(self, "targets", tuple(target(str(text)).text for text in self.targets))
        names = [way.name for way in self.ways]
        if not names or len(set(names)) < len(names):
            raise UsageError(f"ways: must have different names, at least one, got {', '.join(names) or 'none'}")
        for where, flags in self._all_flags():
            _check_flags(where, flags)

    def _check_words(self) -> None:
        from pocketrec.models import MODELS, sizes_named
        from pocketrec.sharing import SCHEMES

        one_of("model", self.model, MODELS)
        sizes_named(self.model, self.preset)
        chosen = dict.fromkeys(one_of("schemes", word, SCHEMES) for word in self.schemes)
        object.__setattr__(self, "schemes", tuple(word for word in chosen if word != FULL.scheme))
        if not isinstance(self.flags_of, Mapping):
            raise UsageError(f"flags_of: must be tables named by a scheme, [flags_of.robe], got {self.flags_of!r}")
        for word in self.flags_of:
            one_of("flags_of", word, SCHEMES)

    def _check_numbers(self) -> None:
        for value in self.compressions:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not (math.isfinite(value) and value >= 1):
                raise UsageError(
                    f"compressions: must be full size / stored size, at least 1 (100 for 100x), got {value!r}"
                )
        object.__setattr__(self, "compressions", tuple(dict.fromkeys(self.compressions)))
        if not self.schemes or not self.compressions:
            raise UsageError("schemes, compressions: give at least one of each beside the full tables")
        whole_number("seeds", self.seeds, at_least=1)
        for name in ("epochs", "jobs"):
            if getattr(self, name) is not None:
                whole_number(name, getattr(self, name), at_least=1)

    def _all_flags(self) -> list[tuple[str, Mapping[str, Any]]]:
        ways = [(f"ways, {way.name}", way.flags) for way in self.ways]
        return [("flags", self.flags), *((f"flags_of.{word}", flags) for word, flags in self.flags_of.items()), *ways]

    @property
    def cells(self) -> list[Cell]:
        """Full tables, then compression after compression."""
        return [FULL, *(Cell(word, float(x)) for x in self.compressions for word in self.schemes)]

    def settings(self, cell: Cell, way: Way) -> dict[str, Any]:
        """Flags of `pocketrec train` without the seed: those of all runs, then of the scheme, then of the way."""
        flags = {**self.flags, **self.flags_of.get(cell.scheme, {}), **way.flags}
        if self.epochs is not None:
            flags["epochs"] = min(self.epochs, flags.get("epochs", self.epochs))
        own = {"model": self.model, "preset": self.preset, "sharing": cell.scheme}
        return own | ({} if cell == FULL else {"compression": cell.compression}) | flags

    def as_dict(self) -> dict[str, Any]:
        """For `study.toml`: all but where it lies."""
        told = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "out"}
        told["ways"] = [{"name": way.name, **way.flags} for way in self.ways]
        return {name: value for name, value in told.items() if value not in (None, {})}


def _check_flags(where: str, flags: Mapping[str, Any]) -> None:
    from pocketrec.runs.flags import FLAGS

    if not isinstance(flags, Mapping):
        raise UsageError(f"{where}: must be a table of flags of pocketrec train, got {flags!r}")
    known = FLAGS - set(OWN)
    for name in flags:
        if name in OWN:
            raise UsageError(f"{where}: {name!r} is set by the study itself: leave it out")
        if name not in known:
            raise UsageError(f"{where}: unknown flag {name!r}: {nearest(name, known)}")
