"""A prepared click log as a workload: its cardinalities, and how often training asks for each value."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pocketrec.data import ClickLog, Manifest, open_log
from pocketrec.errors import DataError
from pocketrec.plan.workload import TableSize, Workload
from pocketrec.theory import FrequencyProfile

DEFAULT_WIDTH = 16
"""D of the `kaggle` presets, which `pocketrec train` counts full tables at."""


def log_workload(
    folder: str | os.PathLike[str], embedding_dim: int | None = None, *, progress: bool = True
) -> Workload:
    """The tables a model of this log would have: a row for every value seen in training, constant columns left out.

    Raises:
        DataError: not a prepared folder, a damaged one, or one whose counts do not match its manifest.
    """
    log = open_log(folder, progress=progress)
    manifest = log.manifest
    chosen = [column for column, distinct in enumerate(manifest.cardinalities) if distinct > 1]
    if not chosen:
        raise DataError(f"{folder}: every categorical column is constant in training: there is nothing to embed")
    profiles = _profiles(log)
    return Workload(
        name=str(folder),
        tables=tuple(
            TableSize(manifest.feature_names[i], manifest.cardinalities[i], embedding_dim or DEFAULT_WIDTH)
            for i in chosen
        ),
        profiles=tuple(profiles[i] for i in chosen),
        rows_are=_rows_are(manifest, chosen),
        frequencies_are=f"the log's own, counted in {manifest.rows['train']:,} training rows",
        kept_rows=sum(manifest.kept[i] + 1 for i in chosen),
        examples=manifest.rows["train"],
    )


def _profiles(log: ClickLog) -> list[FrequencyProfile]:
    """Per feature, checked: every training row has one value in each column."""
    profiles = [FrequencyProfile.from_counts(counts) for _, counts in log.ranked_ids(1)]
    rows = log.manifest.rows["train"]
    for name, distinct, own in zip(log.manifest.feature_names, log.manifest.cardinalities, profiles, strict=True):
        if own.distinct != distinct or own.lookups != rows:
            raise DataError(
                f"{log.folder}: the frequency profile of {name!r} counts {own.distinct} values in {own.lookups} rows, "
                f"the manifest speaks of {distinct} in {rows}: prepare the log again into another folder"
            )
    return profiles


def _rows_are(manifest: Manifest, chosen: Sequence[int]) -> str:
    told = "a row for every value seen in training"
    left_out = len(manifest.cardinalities) - len(chosen)
    if left_out:
        told += f"; {left_out} constant column{'s' * (left_out > 1)} left out"
    return told
