"""RunConfig + click log -> ids policy, model and sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pocketrec.data import ClickLog, Manifest
from pocketrec.data.ids import Ids
from pocketrec.embedding import EmbeddingBagCollection, stored_bytes
from pocketrec.embedding.budget import FULL_ITEM_BYTES, slot_bytes
from pocketrec.errors import DataError, UsageError, nearest
from pocketrec.models import MODELS, ranker_named
from pocketrec.runs.config import RunConfig
from pocketrec.sharing import Budget, Table
from pocketrec.sharing.budget import BudgetError

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
    return log.ranked_vocabulary(config.min_count) if config.ids == "ranked" else log.vocabulary(config.min_count)


def full_slots(manifest: Manifest, config: RunConfig) -> int:
    """Elements of the full tables: a row for every value seen in training, at the preset's D."""
    return sum(manifest.cardinalities[i] for i in informative_features(manifest)) * config.full_width


def memory_bytes(manifest: Manifest, config: RunConfig) -> int | None:
    """What may be stored; None for full tables. A wider virtual D does not change it."""
    if config.sharing == "full":
        return None
    if config.memory_size is not None:
        return int(config.memory_size * slot_bytes(config.dtype))
    assert config.compression is not None
    full = full_slots(manifest, config)
    if full < config.compression:
        raise UsageError(
            f"compression: {config.compression:g} leaves not one slot of the full tables' {full}: lower it"
        )
    return int(full / config.compression) * FULL_ITEM_BYTES


@dataclass(frozen=True)
class Shape:
    """What a model takes from the log it is trained on; kept in `config.json`: raw ids need that log no more."""

    dense: list[str]
    features: list[str]
    memory_bytes: int | None

    @classmethod
    def of(cls, manifest: Manifest, config: RunConfig) -> Shape:
        """The shape of a model trained on this log."""
        features = [manifest.feature_names[i] for i in informative_features(manifest)]
        for name in config.without:
            if name not in features:
                raise UsageError(f"without: the log has no feature {name!r} to leave out: {nearest(name, features)}")
        features = [name for name in features if name not in config.without]
        if not features:
            raise UsageError("without: leaves out every feature of the log: keep one")
        return cls(list(manifest.dense_names), features, memory_bytes(manifest, config))

    def columns(self, manifest: Manifest) -> tuple[int, ...]:
        """Where a log has the features. Raises DataError when it has other columns."""
        missing = sorted(set(self.features) - set(manifest.feature_names))
        if missing or list(manifest.dense_names) != self.dense:
            raise DataError(
                f"the log has other columns than the model: dense {list(manifest.dense_names)} for {self.dense}"
                + (f", and no {', '.join(missing)}" if missing else "")
            )
        return tuple(manifest.feature_names.index(name) for name in self.features)


def build_model(shape: Shape, num_embeddings: Sequence[int | None], config: RunConfig) -> nn.Module:
    """The ranker with its embeddings, drawn from the run's seed; `num_embeddings` of each of the shape's features.

    Where the ranker has linear weights of ids, they get one part of the budget and the embeddings D.
    """
    torch.manual_seed(config.training.seed)
    widths = (config.width, 1) if MODELS[config.model].first_order else (config.width,)
    parts = [
        _embeddings(shape, num_embeddings, config, width, width / sum(widths), number)
        for number, width in enumerate(widths)
    ]
    first_order = parts[1] if len(parts) == 2 else None
    dense = len(shape.dense)
    return ranker_named(config.model, parts[0], dense, preset=config.preset, first_order=first_order)


def _embeddings(
    shape: Shape, num_embeddings: Sequence[int | None], config: RunConfig, width: int, part: float, number: int
) -> nn.Module:
    """Embeddings of `width` that may store that part of the budget."""
    try:
        embeddings = EmbeddingBagCollection(
            [Table(name, rows, width) for name, rows in zip(shape.features, num_embeddings, strict=True)],
            config.scheme(),
            memory_bytes=None if shape.memory_bytes is None else int(shape.memory_bytes * part),
            init=config.init,
            seed=config.training.seed + number,
            dtype=config.dtype,
        )
    except BudgetError as error:
        raise _of_the_run(error, shape, config, part) from None
    return InFloat32(embeddings) if config.dtype.itemsize == 2 else embeddings


def _of_the_run(error: BudgetError, shape: Shape, config: RunConfig, part: float) -> BudgetError:
    """The same of the whole budget, of which embeddings have a part, in the run's terms."""
    assert shape.memory_bytes is not None
    full = None if config.compression is None else config.compression * shape.memory_bytes
    budget = Budget.of_bytes(shape.memory_bytes, error.budget.slot_bytes)
    return BudgetError(
        replace(budget, full_bytes=full), math.ceil((error.least + 1) / part) if part < 1 else error.least, error.what
    )


class InFloat32(nn.Module):
    """Rows of a half-precision memory as rankers take them."""

    def __init__(self, embeddings: EmbeddingBagCollection) -> None:
        super().__init__()
        self.stored = embeddings
        self.num_features, self.embedding_dim = embeddings.num_features, embeddings.embedding_dim

    def forward(self, ids: Tensor) -> Tensor:
        rows: Tensor = self.stored(ids)
        return rows.float()


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


def sizes_of(model: nn.Module, log: ClickLog, ids: Ids, config: RunConfig) -> Sizes:
    """Count honestly: stored bytes, and id maps beside. The config is a completed one."""
    assert config.min_count is not None
    manifest, features = log.manifest, informative_features(log.manifest)
    kept = log.kept_ids(config.min_count)
    row = config.full_width * FULL_ITEM_BYTES
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
