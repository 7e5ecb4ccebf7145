"""RunConfig + click log -> ids policy, model and sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from pocketrec.data import ClickLog, Manifest
from pocketrec.data.ids import Ids
from pocketrec.embedding import EmbeddingBagCollection, stored_bytes
from pocketrec.embedding.budget import FULL_ITEM_BYTES
from pocketrec.errors import DataError, UsageError
from pocketrec.models import DLRM, PRESETS
from pocketrec.runs.config import RunConfig
from pocketrec.sharing import Table

ID_BYTES = 8  # one entry of a vocabulary: the raw id; its row is its place in the order


def informative_features(manifest: Manifest) -> tuple[int, ...]:
    """The features with more than one value in training; a constant column tells nothing and costs time."""
    chosen = tuple(i for i, n in enumerate(manifest.cardinalities) if n > 1)
    if not chosen:
        raise DataError("every categorical column is constant in training: there is nothing to embed")
    return chosen


LARGE_BATCH, SMALL_BATCH, STEPS_AN_EPOCH = 2048, 32, 256


def completed(config: RunConfig, manifest: Manifest) -> RunConfig:
    """The config with the choices filled in that depend on the log."""
    wanted = max(manifest.rows["train"] // STEPS_AN_EPOCH, SMALL_BATCH)
    return replace(
        config,
        batch_size=config.batch_size or min(LARGE_BATCH, 1 << (wanted.bit_length() - 1)),
        min_count=config.min_count or manifest.min_count,
    )


def build_ids(log: ClickLog, config: RunConfig) -> Ids:
    """What turns raw ids into the ids that the model of a completed config sees."""
    if config.ids == "raw":
        return log.raw_ids()
    assert config.min_count is not None
    if config.ids == "filtered":
        return log.filtered_ids(config.bits_per_id, config.min_count)
    return log.vocabulary(config.min_count)


def full_slots(manifest: Manifest, config: RunConfig) -> int:
    """Elements of the full tables: a row for every value seen in training, at the preset's D."""
    return sum(manifest.cardinalities[i] for i in informative_features(manifest)) * PRESETS[config.preset].embedding_dim


def memory_size(manifest: Manifest, config: RunConfig) -> int | None:
    """Slots of the memory; None for full tables. A wider virtual D does not change it."""
    if config.sharing == "full":
        return None
    if config.memory_size is not None:
        return config.memory_size
    assert config.compression is not None
    full = full_slots(manifest, config)
    if full < config.compression:
        raise UsageError(
            f"compression: {config.compression:g} leaves not one slot of the full tables' {full}: lower it"
        )
    return int(full / config.compression)


@dataclass(frozen=True)
class Shape:
    """What a model takes from the log it is trained on; kept in `config.json`: raw ids need that log no more."""

    dense: list[str]
    features: list[str]
    memory_size: int | None

    @classmethod
    def of(cls, manifest: Manifest, config: RunConfig) -> Shape:
        """The shape of a model trained on this log."""
        features = [manifest.feature_names[i] for i in informative_features(manifest)]
        return cls(list(manifest.dense_names), features, memory_size(manifest, config))

    def columns(self, manifest: Manifest) -> tuple[int, ...]:
        """Where a log has the features. Raises DataError when it has other columns."""
        missing = sorted(set(self.features) - set(manifest.feature_names))
        if missing or list(manifest.dense_names) != self.dense:
            raise DataError(
                f"the log has other columns than the model: dense {list(manifest.dense_names)} for {self.dense}"
                + (f", and no {', '.join(missing)}" if missing else "")
            )
        return tuple(manifest.feature_names.index(name) for name in self.features)


def build_model(shape: Shape, num_embeddings: Sequence[int | None], config: RunConfig) -> DLRM:
    """The ranker with its embeddings, drawn from the run's seed; `num_embeddings` of each of the shape's features."""
    torch.manual_seed(config.training.seed)
    embeddings = EmbeddingBagCollection(
        [Table(name, rows, config.width) for name, rows in zip(shape.features, num_embeddings, strict=True)],
        config.scheme(),
        memory_size=shape.memory_size,
        init=config.init,
        seed=config.training.seed,
    )
    return DLRM.from_preset(config.preset, embeddings, num_dense=len(shape.dense))


@dataclass(frozen=True)
class Sizes:
    """What a model stores beside what its full tables would take, in bytes."""

    stored_bytes: int
    full_bytes: int
    id_map_bytes: int
    compression: float
    """full / stored."""
    compression_min_count: float
    """Full tables of only the values seen often enough, and one shared row a feature / stored."""
    compression_with_id_map: float
    """The same as `compression` with the id maps on both sides: full tables need every value in a vocabulary."""


def sizes_of(model: DLRM, log: ClickLog, ids: Ids, config: RunConfig) -> Sizes:
    """Count honestly: stored bytes, and id maps beside. The config is a completed one."""
    assert config.min_count is not None
    manifest, features = log.manifest, informative_features(log.manifest)
    kept = log.kept_ids(config.min_count)
    row = PRESETS[config.preset].embedding_dim * FULL_ITEM_BYTES
    rows = sum(manifest.cardinalities[i] for i in features)
    kept_rows = sum(len(kept[i]) + 1 for i in features)
    stored = stored_bytes(model)
    return Sizes(
        stored_bytes=stored,
        full_bytes=rows * row,
        id_map_bytes=ids.id_map_bytes,
        compression=rows * row / stored,
        compression_min_count=kept_rows * row / stored,
        compression_with_id_map=rows * (row + ID_BYTES) / (stored + ids.id_map_bytes),
    )
