"""RunConfig + click log -> ids policy, model and sizes."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pocketrec.data import ClickLog, Manifest
from pocketrec.data.ids import Ids
from pocketrec.embedding import EmbeddingBagCollection, stored_bytes
from pocketrec.embedding.size import BYTES_PER_ELEMENT
from pocketrec.errors import DataError
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


def build_ids(log: ClickLog, config: RunConfig) -> Ids:
    """What turns raw ids into the ids that the model sees."""
    min_count = config.min_count or log.manifest.min_count
    if config.ids == "vocabulary":
        return log.vocabulary(min_count)
    if config.ids == "filtered":
        return log.filtered_ids(config.bits_per_id, min_count)
    return log.raw_ids()


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
    return int(full_slots(manifest, config) / config.compression)


def build_model(manifest: Manifest, ids: Ids, config: RunConfig) -> DLRM:
    """The ranker with its embeddings, drawn from the run's seed."""
    torch.manual_seed(config.training.seed)
    tables = [
        Table(manifest.feature_names[i], ids.num_embeddings[i], config.width) for i in informative_features(manifest)
    ]
    embeddings = EmbeddingBagCollection(
        tables,
        config.scheme(),
        memory_size=memory_size(manifest, config),
        init=config.init,
        seed=config.training.seed,
    )
    return DLRM.from_preset(config.preset, embeddings, num_dense=len(manifest.dense_names))


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


def sizes_of(model: DLRM, manifest: Manifest, ids: Ids, config: RunConfig) -> Sizes:
    """Count honestly: stored bytes, and id maps beside."""
    features = informative_features(manifest)
    row = PRESETS[config.preset].embedding_dim * BYTES_PER_ELEMENT
    rows = sum(manifest.cardinalities[i] for i in features)
    kept_rows = sum(manifest.kept[i] + 1 for i in features)
    stored = stored_bytes(model)
    return Sizes(
        stored_bytes=stored,
        full_bytes=rows * row,
        id_map_bytes=ids.id_map_bytes,
        compression=rows * row / stored,
        compression_min_count=kept_rows * row / stored,
        compression_with_id_map=rows * (row + ID_BYTES) / (stored + ids.id_map_bytes),
    )
