"""What the study runs: every method at three compressions, all tuned by the same five trials.

Settings are flags of `pocketrec train`. A scheme is otherwise at its defaults; its variants are methods of their own.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
FIRST, WIDTHS, SECOND, FINAL = "first round", "widths", "second round", "final"
FITTING = "fitting"
"""As `min_count`: the smallest for which full tables keep to the budget."""
FULL_WIDTH = 16
"""The D at which full tables are counted: that of the preset."""
_MOST = 1 << 30


@dataclass(frozen=True)
class Method:
    """A row of the table; `family` is its panel of the figure, `widths` the D it is tried with, the first the most."""

    name: str
    family: str
    settings: Mapping[str, Any] = field(hash=False)
    widths: tuple[int, ...] = (16, 64)

    def cell(self, compression: int) -> str:
        """Its name in the rows."""
        return f"{self.name}, {compression}x"

    def candidate(self, compression: int, width: int, training: Settings) -> Settings:
        """The settings of a trial."""
        return {"compression": compression, **self.settings, "embedding_dim": width} | training


def _rates(embedding: float, dense: float) -> Settings:
    return {"embedding_learning_rate": embedding, "dense_learning_rate": dense}


# One epoch suits tables that overfit when they meet a row again; a patience of 4 evaluations stops after an epoch
# without gain; where none is given there are too few to stop.
TRAINING: tuple[Settings, ...] = (
    {"optimizer": "adagrad", "decay": "none", "epochs": 1} | _rates(0.05, 0.03),
    {"optimizer": "adagrad", "decay": "none", "epochs": 3, "patience": 4} | _rates(0.1, 0.03),
    {"optimizer": "adam", "decay": "linear", "epochs": 3, "patience": 4} | _rates(0.003, 0.001),
    {"optimizer": "adam", "decay": "linear", "epochs": 2, "patience": 4} | _rates(0.001, 0.001),
)

SHORT, SEVERAL, MEMORY, NARROW, COMPUTED = "short tables", "several rows", "one memory", "narrow rows", "computed rows"


def _method(name: str, family: str, word: str, **options: Any) -> Method:
    return Method(name, family, {"sharing": word} | ({"options": options} if options else {}))


# First these at every compression; then the variants, and what is slow.
SCHEMES: tuple[Method, ...] = (
    Method("full, frequent ids only", SHORT, {"sharing": "full", "min_count": FITTING}, widths=(4, 16)),
    _method("hashing trick", SHORT, "hashing-trick"),
    _method("ROBE", MEMORY, "robe"),
    _method("low rank", NARROW, "low-rank"),
    _method("multi-hash, sum", SHORT, "multi-hash"),
    _method("hash embeddings", SEVERAL, "hash-embeddings"),
    _method("QR, multiply", SEVERAL, "qr"),
    _method("mixed dimensions", NARROW, "mixed-dimensions"),
    # Four times in what is a run of 450 to 1,350 steps; its default, every 500, is for longer ones.
    _method("CCE", COMPUTED, "cce", every=100, times=4),
    _method("hot and cold", MEMORY, "hot-cold"),
    _method("HashedNets", MEMORY, "hashednets"),
)

# More than a scheme at its defaults: what the exploration (studies/LOG.md) found worth combining. Any flags will do:
# Method("low rank, int8", COMBINATION, {"sharing": "low-rank", "precision": "int8"}); of `encode` see `trials.Trial`.
COMBINATION = "combined"
COMBINED: tuple[Method, ...] = (
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
    Method(
        "transform coding of full tables",
        COMBINATION,
        {"sharing": "full", "ids": "ranked", "encode": True},
        widths=(64,),
    ),
    Method(
        "transform coding, no titles",
        COMBINATION,
        {"sharing": "full", "ids": "ranked", "encode": True, "without": ["cat_1", "cat_2"]},
        widths=(64,),
    ),
)
VARIANTS: tuple[Method, ...] = (
    _method("deep hash", COMPUTED, "dhe"),
    _method("low rank, hashed rows", NARROW, "low-rank", rows="hashed"),
    _method("multi-hash, concat", SHORT, "multi-hash", operation="concat"),
    _method("QR, concat", SEVERAL, "qr", operation="concat"),
    _method("QR, add", SEVERAL, "qr", operation="add"),
    _method("tensor train", COMPUTED, "tt"),
)
EVERY = SCHEMES + COMBINED + VARIANTS


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
    every.sort(key=lambda cell: cell[0] in VARIANTS)
    return [trial for cell in every for trial in cell_trials(*cell, done, logs)]


def cell_trials(method: Method, compression: int, done: Mapping[Any, Any], logs: Logs) -> list[Trial]:
    """The rounds of a cell: the ways to train, and the other D with the best of them, on a part of the rows.

    Then the best two of these on all rows, and the better of the two with all seeds.
    """

    def trials(phase: str, log: str, chosen: Iterable[Settings]) -> list[Trial]:
        return [Trial(phase, method.cell(compression), fitted(s, logs[log]), SEEDS[0], log) for s in chosen]

    narrow, *wider = method.widths
    wanted: list[Trial] = []
    # The whole log, of other proportions, may hold what the part does not, and says where a scheme ends.
    for log in (PART, WHOLE):
        candidates = [method.candidate(compression, narrow, training) for training in TRAINING]
        first = trials(FIRST, log, candidates)
        wanted += first
        order = ranked(first, done)
        if order != []:
            break
    if not order:
        return wanted
    others = [method.candidate(compression, width, TRAINING[order[0]]) for width in wider]
    tried = first + trials(WIDTHS, log, others)
    candidates += others
    ahead = trials(SECOND, WHOLE, [candidates[i] for i in ranked(tried, done) or []])
    second = [t for t in ahead if not done.get(t.key, {}).get("error")][:SECOND_ROUND]
    order = ranked(second, done)
    finals = [Trial(FINAL, second[0].cell, second[order[0]].settings, seed) for seed in SEEDS[1:]] if order else []
    return [*wanted, *tried[len(first) :], *second, *finals]


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
