"""What the study runs: every method at three compressions, all tuned by the same eight trials.

Settings are flags of `pocketrec train`. A scheme is otherwise at its defaults; its variants are methods of their own.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Protocol

from studies.trials import WHOLE, Rows, Trial, key_of

Settings = dict[str, Any]
SEEDS = (0, 1, 2)
COMPRESSIONS = (100, 1000, 10)
"""In the order they are run."""
PART = "quarter"
"""The log of the first round: the first quarter of the rows."""
SECOND_ROUND = 2
"""Trials of a cell that go on to all rows."""
FIRST, SECOND, FINAL = "first round", "second round", "final"
FITTING = "fitting"
"""As `min_count`: the smallest for which full tables keep to the budget."""
FULL_WIDTH = 16
"""The D at which full tables are counted: that of the preset."""
_MOST = 1 << 30


@dataclass(frozen=True)
class Method:
    """A row of the table; `family` is its panel of the figure, `widths` the D it is tried with."""

    name: str
    family: str
    settings: Mapping[str, Any] = field(hash=False)
    widths: tuple[int, ...] = (16, 64)

    def cell(self, compression: int) -> str:
        """Its name in the rows."""
        return f"{self.name}, {compression}x"

    def candidates(self, compression: int) -> list[Settings]:
        """The trials of the first round."""
        budget = {"compression": compression, **self.settings}
        return [budget | {"embedding_dim": d} | training for d, training in product(self.widths, TRAINING)]


def _rates(embedding: float, dense: float) -> Settings:
    return {"embedding_learning_rate": embedding, "dense_learning_rate": dense}


# One epoch suits tables that overfit when they meet a row again; a patience of 4 evaluations stops after one without
# gain; one of 12 never does, since a falling rate needs its whole schedule.
TRAINING: tuple[Settings, ...] = (
    {"optimizer": "adagrad", "decay": "none", "epochs": 1} | _rates(0.05, 0.03),
    {"optimizer": "adagrad", "decay": "none", "epochs": 3, "patience": 4} | _rates(0.1, 0.03),
    {"optimizer": "adam", "decay": "linear", "epochs": 3, "patience": 12} | _rates(0.003, 0.001),
    {"optimizer": "adam", "decay": "linear", "epochs": 2, "patience": 12} | _rates(0.001, 0.001),
)

SHORT, SEVERAL, MEMORY, NARROW, COMPUTED = "short tables", "several rows", "one memory", "narrow rows", "computed rows"


def _method(name: str, family: str, word: str, **options: Any) -> Method:
    return Method(name, family, {"sharing": word} | ({"options": options} if options else {}))


# In the order they are run: the slow ones last.
METHODS: tuple[Method, ...] = (
    Method("full, frequent ids only", SHORT, {"sharing": "full", "min_count": FITTING}, widths=(4, 16)),
    _method("hashing trick", SHORT, "hashing-trick"),
    _method("ROBE", MEMORY, "robe"),
    _method("low rank", NARROW, "low-rank"),
    _method("low rank, hashed rows", NARROW, "low-rank", rows="hashed"),
    _method("QR, multiply", SEVERAL, "qr"),
    _method("multi-hash, sum", SHORT, "multi-hash"),
    _method("hash embeddings", SEVERAL, "hash-embeddings"),
    _method("mixed dimensions", NARROW, "mixed-dimensions"),
    _method("CCE", COMPUTED, "cce"),
    _method("hot and cold", MEMORY, "hot-cold"),
    _method("HashedNets", MEMORY, "hashednets"),
    _method("multi-hash, concat", SHORT, "multi-hash", operation="concat"),
    _method("QR, concat", SEVERAL, "qr", operation="concat"),
    _method("QR, add", SEVERAL, "qr", operation="add"),
    _method("deep hash", COMPUTED, "dhe"),
    _method("tensor train", COMPUTED, "tt"),
)

# More than a scheme at its defaults: what the exploration (studies/LOG.md) found worth combining. Any flags will do:
# Method("low rank, int8", COMBINATION, {"sharing": "low-rank", "precision": "int8"}); of `encode` see `trials.Trial`.
COMBINATION = "combined"
COMBINED: tuple[Method, ...] = (
    Method(
        "transform coding of full tables",
        COMBINATION,
        {"sharing": "full", "ids": "ranked", "encode": True},
        widths=(64, 128),
    ),
    # One number a row, in few bits, for the values that tell most: columns cat_1 and cat_2 are a book and its title,
    # which the other columns nearly tell.
    Method("low rank, int8", COMBINATION, {"sharing": "low-rank", "precision": "int8"}),
    Method(
        "low rank, int4, no titles",
        COMBINATION,
        {"sharing": "low-rank", "precision": "int4", "without": ["cat_1", "cat_2"], "min_count": 3},
        widths=(16, 24),
    ),
    Method("ROBE, int8", COMBINATION, {"sharing": "robe", "precision": "int8"}),
)
EVERY = COMBINED + METHODS


class LogSizes(Protocol):
    """What full tables of a log would hold."""

    seen: int
    """Distinct values in training, over all columns."""

    def rows(self, min_count: int) -> int:
        """Rows of full tables of only the values seen so often."""
        ...


Logs = Mapping[str, LogSizes]


def plan(rows: Rows, logs: Logs, methods: Sequence[Method] = EVERY) -> list[Trial]:
    """The trials that the rows so far call for, cell after cell: wherever it is stopped, whole cells are finished."""
    done = {key_of(row): row for row in rows}
    every = [(method, compression) for compression in COMPRESSIONS for method in methods]
    return [trial for cell in every for trial in cell_trials(*cell, done, logs)]


def cell_trials(method: Method, compression: int, done: Mapping[Any, Any], logs: Logs) -> list[Trial]:
    """The rounds of a cell: all trials on a part of the rows, the best two on all, the best of these with all seeds."""

    def trials(phase: str, log: str, chosen: Sequence[Settings]) -> list[Trial]:
        cell = method.cell(compression)
        return [Trial(phase, cell, fitted(settings, logs[log]), SEEDS[0], log) for settings in chosen]

    candidates = method.candidates(compression)
    wanted = trials(FIRST, PART, candidates)
    order = ranked(wanted, done)
    if order == []:  # The whole log, of other proportions, may hold what the part does not, and says where it ends.
        wanted += trials(FIRST, WHOLE, candidates)
        order = ranked(wanted[len(candidates) :], done)
    if not order:
        return wanted
    ahead = trials(SECOND, WHOLE, [candidates[i] for i in order])
    second = [t for t in ahead if not done.get(t.key, {}).get("error")][:SECOND_ROUND]
    order = ranked(second, done)
    finals = [Trial(FINAL, second[0].cell, second[order[0]].settings, seed) for seed in SEEDS[1:]] if order else []
    return [*wanted, *second, *finals]


def ranked(trials: Sequence[Trial], done: Mapping[Any, Any]) -> list[int] | None:
    """Their numbers by validation AUC, the best first, without those that failed; None until all have run."""
    found = [done.get(trial.key) for trial in trials]
    if None in found:
        return None
    scores = {i: float(row["best_validation_auc"]) for i, row in enumerate(found) if row and not row["error"]}
    return sorted(scores, key=lambda i: -scores[i])


def fitted(settings: Settings, log: LogSizes) -> Settings:
    """With the smallest min_count whose full tables keep to the compression, where that is asked for."""
    if settings.get("min_count") != FITTING:
        return settings
    room = log.seen * FULL_WIDTH / settings["compression"] / settings["embedding_dim"]
    least = 1 + bisect_left(range(1, _MOST), True, key=lambda count: log.rows(count) <= room)
    return {k: v for k, v in settings.items() if k != "compression"} | {"min_count": least}
