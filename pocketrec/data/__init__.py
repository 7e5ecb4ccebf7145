"""Click logs: raw files -> prepared arrays -> batches; the synthetic twin. Knows no model.

Names load on first use: reading ids needs neither Polars nor torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pocketrec.data.batches import Batches as Batches
    from pocketrec.data.ids import (
        FilteredIds as FilteredIds,
        RankedVocabulary as RankedVocabulary,
        RawIds as RawIds,
        Vocabulary as Vocabulary,
    )
    from pocketrec.data.log import ClickLog as ClickLog, open_log as open_log
    from pocketrec.data.manifest import Manifest as Manifest
    from pocketrec.data.preparation import prepare as prepare
    from pocketrec.data.synthetic import SynthReport as SynthReport, synthesize as synthesize

_HOMES = {
    "Batches": "batches",
    "ClickLog": "log",
    "FilteredIds": "ids",
    "Manifest": "manifest",
    "RankedVocabulary": "ids",
    "RawIds": "ids",
    "SynthReport": "synthetic",
    "Vocabulary": "ids",
    "open_log": "log",
    "prepare": "preparation",
    "synthesize": "synthetic",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
