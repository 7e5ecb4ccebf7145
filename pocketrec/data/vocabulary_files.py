"""`vocabulary_ids.npy` and `vocabulary_counts.npy`: the distinct training ids of every feature and their counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pocketrec.data.layout import Layout
from pocketrec.data.manifest import VOCABULARY_FILES, FileInfo
from pocketrec.data.npy import NpyAppender, file_sha256
from pocketrec.data.progress import Progress
from pocketrec.data.runs import MERGE_ROWS, RunFile, merge_by_ranges

IDS, COUNTS = VOCABULARY_FILES


@dataclass(frozen=True)
class WrittenVocabulary:
    """What was counted."""

    cardinalities: tuple[int, ...]
    kept: tuple[int, ...]
    files: dict[str, FileInfo]


def write_vocabulary(
    folder: Path, runs: Sequence[RunFile], layout: Layout, min_count: int, progress: bool, merge_rows: int = MERGE_ROWS
) -> WrittenVocabulary:
    """Merge the counts of all shards, feature after feature, ids ascending. Memory: about `merge_rows` entries."""
    features = len(layout.categorical)
    cardinalities, kept = [0] * features, [0] * features
    total = sum(run.offsets[-1] for run in runs)
    with (
        Progress("vocabulary", total, " ids", progress) as line,
        NpyAppender(folder / IDS, layout.id_dtype) as ids,
        NpyAppender(folder / COUNTS, "int64") as counts,
    ):
        for feature in range(features):
            for piece in merge_by_ranges([run.run(feature) for run in runs], merge_rows):
                ids.append(piece["id"])
                counts.append(piece["count"])
                cardinalities[feature] += len(piece)
                kept[feature] += int((piece["count"] >= min_count).sum())
            line.advance(sum(run.offsets[feature + 1] - run.offsets[feature] for run in runs))
    described = {name: FileInfo((folder / name).stat().st_size, file_sha256(folder / name)) for name in (IDS, COUNTS)}
    return WrittenVocabulary(tuple(cardinalities), tuple(kept), described)
