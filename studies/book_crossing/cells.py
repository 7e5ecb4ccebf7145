"""What the study runs. Settings are flags of `pocketrec train`; six trials a cell: all are tuned with equal effort.

Chosen after a look around on the validation split (studies/LOG.md): full tables want Adagrad, a large rate and one
epoch; shared memories want Adam, a falling rate and several.
"""

from __future__ import annotations

from typing import Any

Settings = dict[str, Any]
SEEDS = (0, 1, 2)
TUNING_SEED = SEEDS[0]
COMPRESSIONS = (10, 100, 1000)


def _rates(embedding: float, dense: float) -> Settings:
    return {"embedding_learning_rate": embedding, "dense_learning_rate": dense}


ADAGRAD = {"optimizer": "adagrad", "decay": "none", "epochs": 1}
# A falling rate needs its whole schedule: a patience of all 12 evaluations never stops it early.
ADAM = {"optimizer": "adam", "decay": "linear", "epochs": 3, "patience": 12}

FULL_TRIALS: tuple[Settings, ...] = (
    ADAGRAD | _rates(0.03, 0.03),
    ADAGRAD | _rates(0.02, 0.03),
    ADAGRAD | _rates(0.05, 0.03),
    ADAGRAD | _rates(0.03, 0.05),
    ADAGRAD | _rates(0.1, 0.03),
    ADAM | _rates(0.001, 0.001),
)
WIDE_TRIALS: tuple[Settings, ...] = (
    {"embedding_dim": 32} | ADAGRAD | _rates(0.03, 0.03),
    {"embedding_dim": 64} | ADAGRAD | _rates(0.03, 0.03),
    {"embedding_dim": 64} | ADAGRAD | _rates(0.02, 0.03),
    {"embedding_dim": 64} | ADAGRAD | _rates(0.05, 0.03),
    {"embedding_dim": 128} | ADAGRAD | _rates(0.03, 0.03),
    {"embedding_dim": 128} | ADAGRAD | _rates(0.02, 0.03),
)
ROBE = {"ids": "vocabulary", "hash": "linear", "embedding_dim": 64, "chunk_size": 16}
ROBE_TRIALS: tuple[Settings, ...] = (
    ROBE | ADAM | _rates(0.001, 0.001),
    ROBE | ADAM | _rates(0.003, 0.001),
    ROBE | {"chunk_size": 64} | ADAM | _rates(0.001, 0.001),
    ROBE | {"embedding_dim": 16} | ADAM | _rates(0.001, 0.001),
    ROBE | ADAGRAD | _rates(0.05, 0.03),
    ROBE | ADAGRAD | {"epochs": 3, "patience": 4} | _rates(0.1, 0.03),
)
TRICK_TRIALS: tuple[Settings, ...] = (
    {"embedding_dim": 16} | ADAM | _rates(0.001, 0.001),
    {"embedding_dim": 16} | ADAM | _rates(0.003, 0.001),
    {"embedding_dim": 4} | ADAM | _rates(0.001, 0.001),
    {"embedding_dim": 4} | ADAM | _rates(0.003, 0.001),
    {"embedding_dim": 4} | ADAGRAD | _rates(0.05, 0.03),
    {"embedding_dim": 16} | ADAGRAD | {"epochs": 3, "patience": 4} | _rates(0.1, 0.03),
)

# Cell -> its trials. The best on validation goes on to all seeds.
TUNED: dict[str, tuple[Settings, ...]] = {
    "full tables, D=16": tuple({"sharing": "full", "embedding_dim": 16} | t for t in FULL_TRIALS),
    "full tables, best width": tuple({"sharing": "full"} | t for t in WIDE_TRIALS),
    **{
        f"{name}, {x}x": tuple({"sharing": sharing, "compression": x} | t for t in trials)
        for x in (100, 10, 1000)
        for name, sharing, trials in (("ROBE", "robe", ROBE_TRIALS), ("hashing trick", "hashing-trick", TRICK_TRIALS))
    },
}

# The 2 x 2 x 3 table: hash x width x ids, ROBE at 100x, all trained alike.
HASHES, WIDTHS, IDS = ("mixing", "linear"), (16, 64), ("vocabulary", "raw", "filtered")
ARM = {"sharing": "robe", "chunk_size": 16} | ADAM | {"epochs": 2} | _rates(0.001, 0.001)


def arm(hash_: str, width: int, ids: str) -> Settings:
    """One arm at 100x."""
    return ARM | {"hash": hash_, "embedding_dim": width, "ids": ids, "compression": 100}


def arm_of_equal_bytes(hash_: str, width: int, ids: str, slots: int) -> Settings:
    """The same arm with as many slots as make memory and id map as large together as the vocabulary's arm."""
    return ARM | {"hash": hash_, "embedding_dim": width, "ids": ids, "memory_size": slots}


# Initial values beside the default, 0.01: smaller, larger, and what the authors' codes do.
INITS = ("0.001", "0.1", "largest-table", "width")


def init_arm(init: str) -> Settings:
    """ROBE at 100x with other initial values."""
    return arm("linear", 64, "vocabulary") | {"init": init}


def arm_name(hash_: str, width: int, ids: str) -> str:
    """The cell of an arm."""
    return f"{hash_} hash, D={width}, {ids} ids"
