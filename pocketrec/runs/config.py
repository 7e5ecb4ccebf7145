"""RunConfig: one run, described. What `pocketrec train` takes, what `config.json` holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch

from pocketrec.errors import TrainingError, UsageError, nearest, one_of
from pocketrec.models import MODELS, sizes_named
from pocketrec.sharing import CODED, SCHEMES, Scheme, scheme_named
from pocketrec.training import TrainConfig

IDS = ("vocabulary", "ranked", "raw", "filtered")
PRECISIONS = ("float32", "bfloat16", "float16", "int8", "int4")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """A model, how its tables are shared, and how it is trained. Raises UsageError for what makes no sense."""

    model: str = "dlrm"
    """The ranker, a word of `pocketrec.models.MODELS`."""
    preset: str = "kaggle"
    """Layer sizes, and the D at which compression is counted."""
    sharing: str = "robe"
    """A word of `pocketrec.sharing.SCHEMES`; or of `CODED`, for a run made by `encode_run`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the scheme beside those below, by name."""
    precision: str = "float32"
    """What the memory is stored in; integers train a float32 master as they will serve it."""
    compression: float | None = None
    """Bytes of the full tables (a float32 row of the preset's D for every value seen in training) / bytes stored."""
    memory_size: int | None = None
    """Slots of the memory, instead of `compression`."""
    chunk_size: int = 16
    """Z of ROBE-Z."""
    hash: str = "mixing"
    """ROBE's hash: `mixing` or `linear`."""
    signed: bool = False
    """ROBE: multiply what is read by +1 or -1."""
    align: int = 1
    """ROBE: chunk starts are multiples of it."""
    without: tuple[str, ...] = ()
    """Features to leave out of the model. Their full tables still count: leaving out is a way to compress."""
    ids: str = "vocabulary"
    """`vocabulary` rows, those `ranked` by falling count, `raw` ids, or raw ids that passed a `filtered` set of the
    values seen often enough."""
    min_count: int | None = None
    """How often a value must be seen in training to be kept; None takes what the log was prepared with."""
    bits_per_id: float = 10
    """Of the filter."""
    embedding_dim: int | None = None
    """D, the virtual width; None takes the preset's. It never changes the budget."""
    init: float | str | None = None
    """Initial values; see `pocketrec.embedding.init`."""
    batch_size: int | None = None
    """Examples a step; None takes 2048, or fewer on a small log, so that an epoch has enough steps to learn in."""
    training: TrainConfig = field(default_factory=TrainConfig)
    """Optimisers, schedule, early stopping, seed, threads, device."""

    def __post_init__(self) -> None:
        known_words = (("model", MODELS), ("sharing", SCHEMES | CODED), ("ids", IDS), ("precision", PRECISIONS))
        for name, known in known_words:
            one_of(name, getattr(self, name), known)
        sizes_named(self.model, self.preset)
        if self.sharing == "full":
            self._check_full()
        elif self.compression is not None and self.memory_size is not None:
            raise UsageError("compression and memory_size both set the budget: give one of them")
        elif self.compression is None and self.memory_size is None:
            raise UsageError(f"sharing {self.sharing!r} needs a budget: give compression or memory_size")
        if self.compression is not None and not (math.isfinite(self.compression) and self.compression >= 1):
            raise UsageError(
                f"compression: is full size / stored size, at least 1 (100 for 100x), got {self.compression}"
            )
        if isinstance(self.without, str):
            raise UsageError(f"without: must be a list of feature names, got the text {self.without!r}")
        object.__setattr__(self, "without", tuple(self.without))  # JSON knows lists only
        for name in ("memory_size", "embedding_dim", "batch_size", "min_count"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name}: must be at least 1, got {value}")
        self.scheme()

    def _check_full(self) -> None:
        if self.compression not in (None, 1) or self.memory_size is not None:
            raise UsageError("sharing 'full' stores every row: it takes neither compression nor memory_size")
        if self.precision.startswith("int"):
            raise UsageError(f"sharing 'full' trains floating-point rows: precision {self.precision} is for memories")
        if self.ids not in ("vocabulary", "ranked"):
            raise UsageError(
                f"sharing 'full' needs a row for every id: use ids 'vocabulary' or 'ranked', not {self.ids!r}"
            )

    def scheme(self) -> Scheme:
        """The sharing scheme, built."""
        of_robe = {"chunk_size": self.chunk_size, "hash": self.hash, "signed": self.signed, "align": self.align}
        return scheme_named(self.sharing, self.options, **of_robe)

    @property
    def width(self) -> int:
        """D."""
        return self.embedding_dim or self.full_width

    @property
    def full_width(self) -> int:
        """The D at which full tables are counted."""
        return sizes_named(self.model, self.preset).embedding_dim

    @property
    def dtype(self) -> torch.dtype:
        """Of the memory."""
        dtype: torch.dtype = getattr(torch, self.precision)
        return dtype

    def as_dict(self) -> dict[str, Any]:
        """For `config.json`."""
        return asdict(self) | {"without": list(self.without)}

    @classmethod
    def from_dict(cls, told: dict[str, Any], where: str = "config") -> RunConfig:
        """The inverse of `as_dict`. Raises TrainingError for a field this version does not know."""
        known = {f.name for f in fields(cls)}
        known_training = {f.name for f in fields(TrainConfig)}
        training = told.get("training", {})
        for name, allowed in [(n, known) for n in told] + [(n, known_training) for n in training]:
            if name not in allowed:
                raise TrainingError(
                    f"{where}: unknown field {name!r} ({nearest(name, allowed)}): another version's run?"
                )
        return cls(**(told | {"training": TrainConfig(**training)}))
