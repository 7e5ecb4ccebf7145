"""A prepared click log: its manifest, its ids policies and its batches."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pocketrec.data.ids import FilteredIds, Ids, RankedVocabulary, RawIds, Vocabulary
from pocketrec.data.manifest import Manifest, read_manifest
from pocketrec.data.split import SPLITS
from pocketrec.data.translation import TranslationCache
from pocketrec.data.verification import check_files
from pocketrec.data.vocabulary_files import COUNTS, IDS
from pocketrec.errors import DataError, UsageError, one_of

if TYPE_CHECKING:
    from pocketrec.data.batches import Batches


def open_log(folder: str | os.PathLike[str], *, verify: bool = False, progress: bool = True) -> ClickLog:
    """Open a folder written by `prepare`.

    Sizes are checked each time; contents when a file is newer than its last good check, or always with `verify`.
    Raises DataError when something is missing, short, altered or of another version.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    check_files(folder, manifest, verify=verify, progress=progress)
    return ClickLog(folder, manifest, progress=progress)


class ClickLog:
    """A prepared folder; made by `open_log`."""

    def __init__(self, folder: Path, manifest: Manifest, *, progress: bool = True) -> None:
        self.folder, self.manifest, self.progress = folder, manifest, progress
        self._translations = TranslationCache(folder)

    def kept_ids(self, min_count: int) -> list[np.ndarray]:
        """Per feature the ascending ids seen at least `min_count` times in training."""
        return [ids[counts >= min_count] for ids, counts in self._counted(min_count)]

    def ranked_ids(self, min_count: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Per feature the same ids by falling count, those of one count ascending, and their counts."""
        ranked = []
        for ids, counts in self._counted(min_count):
            kept = counts >= min_count
            order = np.argsort(-counts[kept], kind="stable")
            ranked.append((ids[kept][order], counts[kept][order]))
        return ranked

    def ranked_counts(self, min_count: int | None = None) -> list[np.ndarray]:
        """How often training asks for each row of the ranked vocabulary, row 0 first."""
        min_count = self.manifest.min_count if min_count is None else min_count
        whole = [counts.sum() for _, counts in self._counted(min_count)]
        ranked = self.ranked_ids(min_count)
        return [np.concatenate([[n - counts.sum()], counts]) for n, (_, counts) in zip(whole, ranked, strict=True)]

    def _counted(self, min_count: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Per feature the ascending ids seen in training, and how often."""
        if min_count < 1:
            raise UsageError(f"min_count must be at least 1, got {min_count}")
        ids = np.load(self.folder / IDS, mmap_mode="r")
        counts = np.load(self.folder / COUNTS, mmap_mode="r")
        ends = np.cumsum(self.manifest.cardinalities)
        if not len(ids) == len(counts) == ends[-1]:
            raise DataError(
                f"{self.folder}: the manifest speaks of {ends[-1]} distinct values, {IDS} holds {len(ids)}: "
                "prepare the log again into another folder"
            )
        starts = ends - self.manifest.cardinalities
        return [(np.asarray(ids[a:b]), np.asarray(counts[a:b])) for a, b in zip(starts, ends, strict=True)]

    def vocabulary(self, min_count: int | None = None) -> Vocabulary:
        """Consecutive rows for the ids seen at least `min_count` times (as prepared unless given)."""
        min_count = self.manifest.min_count if min_count is None else min_count
        return Vocabulary(self.kept_ids(min_count), min_count)

    def ranked_vocabulary(self, min_count: int | None = None) -> RankedVocabulary:
        """The same ids and bytes, the most frequent first."""
        min_count = self.manifest.min_count if min_count is None else min_count
        return RankedVocabulary([ids for ids, _ in self.ranked_ids(min_count)], min_count)

    def raw_ids(self) -> RawIds:
        """Ids as they are."""
        return RawIds(len(self.manifest.feature_names))

    def filtered_ids(self, bits_per_id: float = 10, min_count: int = 2) -> FilteredIds:
        """Raw ids behind a Bloom filter of those seen at least `min_count` times."""
        return FilteredIds.build(self.kept_ids(min_count), bits_per_id, min_count)

    def batches(
        self,
        split: str,
        ids: Ids,
        batch_size: int,
        *,
        features: Sequence[int] | None = None,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
    ) -> Batches:
        """Batches of one split; see `Batches`. Translates the ids of the split first unless that was done before."""
        from pocketrec.data.batches import Batches

        one_of("split", split, SPLITS)
        if len(ids.num_embeddings) != len(self.manifest.feature_names):
            raise UsageError(
                f"ids are for {len(ids.num_embeddings)} features, the log has {len(self.manifest.feature_names)}"
            )
        shards = [shard for shard in self.manifest.shards if shard.rows[split]]
        sparse = [
            self._translations.translated(shard.path(self.folder, split, "sparse"), ids, self.progress)
            for shard in shards
        ]
        return Batches(
            labels=[shard.path(self.folder, split, "labels") for shard in shards],
            dense=[shard.path(self.folder, split, "dense") for shard in shards],
            sparse=sparse,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            drop_last=drop_last,
            features=features,
        )
