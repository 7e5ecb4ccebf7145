"""Initial values of a memory.

One small uniform range for everything is the default. On Book-Crossing at 100x, ranges of 0.01 and below trained alike,
the authors' "largest-table" among them (it is as small there), while 0.1 and their "width" lost 0.008 and 0.011 AUC
(studies/LOG.md). Small does not depend on what the largest table happens to be, and serves open-ended ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pocketrec.errors import UsageError, one_of, real_number
from pocketrec.sharing import Table

DEFAULT = 0.01
RULES = ("largest-table", "width")


def check_init(init: float | str | None) -> float | str:
    """The half-width or rule asked for, or the default.

    Raises:
        UsageError: an unknown rule, or a half-width that is not positive and finite.
    """
    if init is None:
        return DEFAULT
    if isinstance(init, str):
        return one_of("init", init, RULES)
    return real_number("init", init, "(0, inf)")


def init_bound(init: float | str, tables: Sequence[Table]) -> float:
    """Half-width of the uniform initial range for a memory that serves `tables`.

    "largest-table" is sqrt(1 / rows of the largest table), the authors' Criteo-TB code (github.com/apd10/dlrm) and,
    one table at a time, DLRM's own rule; "width" is sqrt(1 / D), their Criteo-Kaggle code
    (github.com/apd10/criteo_deepctr).
    """
    if init == "largest-table":
        rows = [t.num_embeddings for t in tables]
        if None in rows:
            raise UsageError("init='largest-table' needs num_embeddings for every table")
        return math.sqrt(1 / max(n for n in rows if n is not None))
    if init == "width":
        return math.sqrt(1 / max(t.embedding_dim for t in tables))
    return float(init)
