"""Scoring with a trained model where there is no torch (floor 3): load an artifact, read raw values, score.

Names load on first use: parsing values needs no engine, an engine no Polars.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pocketrec.runtime.fields import RowError as RowError
    from pocketrec.runtime.model import (
        Model as Model,
        load as load,
        parse_columns as parse_columns,
        parse_rows as parse_rows,
    )
    from pocketrec.runtime.scoring import Report as Report, score_file as score_file

_HOMES = {
    "Model": "model",
    "RowError": "fields",
    "load": "model",
    "parse_columns": "model",
    "parse_rows": "model",
    "Report": "scoring",
    "score_file": "scoring",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
