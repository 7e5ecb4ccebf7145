"""Full tables, trained, to tables in a hundredth or a thousandth of the bytes, without training: transform coding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pocketrec.compress.coding import Source, codes_of
from pocketrec.compress.trained import Trained
from pocketrec.data.progress import Progress
from pocketrec.embedding import EmbeddingBagCollection
from pocketrec.embedding.tables import SharedTables
from pocketrec.errors import UsageError
from pocketrec.sharing import Full, TransformCoding
from pocketrec.sharing.transform_coding import Coded


def encode(
    embeddings: EmbeddingBagCollection,
    *,
    compression: float | None = None,
    memory_bytes: int | None = None,
    counts: Sequence[Tensor] | None = None,
    sensitivity: Sequence[Tensor] | None = None,
    sharing: TransformCoding | None = None,
    progress: bool = False,
) -> EmbeddingBagCollection:
    """Trained full tables in transform codes: the same tables and features, for inference.

    Args:
        embeddings: with `Full()` tables.
        compression, memory_bytes: the budget; see `SharedTables`.
        counts: how often training looked up each row, a tensor a table. Rows that come often get more bits; they must
            be in the order of falling counts, except that row 0 may be that of all other values. Without, all rows
            of a table are alike.
        sensitivity: of what is computed from the rows, a (D, D) matrix a table; see `sensitivity`. Without, all
            directions and tables matter alike.
        sharing: `TransformCoding()` unless said otherwise.
        progress: show a live line on stderr.

    Raises:
        UsageError: tables that are not full, counts that rise, matrices of another shape, a budget too small.

    Example:
        >>> small = encode(model.embeddings, compression=1000, counts=counts)
    """
    if not isinstance(embeddings, EmbeddingBagCollection) or not isinstance(embeddings.sharing, Full):
        raise UsageError("encode: takes the tables of an EmbeddingBagCollection with sharing=Full()")
    if sharing is not None and not isinstance(sharing, TransformCoding):
        raise UsageError(f"sharing: encode makes codes of TransformCoding(), got {sharing!r}")
    weights = table_weights(embeddings)
    made = EmbeddingBagCollection(
        embeddings.tables,
        TransformCoding() if sharing is None else sharing,
        compression=compression,
        memory_bytes=memory_bytes,
        seed=embeddings.seed,
        device=weights[0].device,
    )
    encode_(made, weights, counts=counts, sensitivity=sensitivity, progress=progress)
    return made.train(embeddings.training)


def table_weights(embeddings: SharedTables) -> list[Tensor]:
    """The rows of each full table, (n, D), in the order of `embeddings.tables`."""
    found: dict[str, Tensor] = {}
    for part in embeddings._parts:
        parameter = embeddings.get_parameter(part.parameter).detach()
        for row, feature in zip(part.rows, part.features, strict=True):
            first = row.base // row.dim
            found[embeddings._table_of_feature[feature].name] = parameter[first : first + row.num_embeddings]
    return [found[table.name] for table in embeddings.tables]


@torch.no_grad()
def encode_(
    made: SharedTables,
    weights: Sequence[Tensor],
    *,
    counts: Sequence[Tensor] | None = None,
    sensitivity: Sequence[Tensor] | None = None,
    progress: bool = False,
) -> None:
    """Fill coded tables, in place, with codes of these rows, a (n, D) tensor a table; see `encode`."""
    recovery, scheme = made.recovery, made.sharing
    assert isinstance(recovery, Coded)
    assert isinstance(scheme, TransformCoding)
    for name, given in (("counts", counts), ("sensitivity", sensitivity)):
        if given is not None and len(given) != len(made.tables):
            raise UsageError(f"{name}: must be {len(made.tables)}, one for each table, got {len(given)}")
        if given is not None and not all(isinstance(own, Tensor) for own in given):
            raise UsageError(f"{name}: must be Tensors, one for each table")
    for table, weight in zip(made.tables, weights, strict=True):
        if weight.shape != (table.num_embeddings, table.embedding_dim):
            shape = (table.num_embeddings, table.embedding_dim)
            raise UsageError(f"weight: of table {table.name!r} must have shape {shape}, got {tuple(weight.shape)}")
    total = 2 * sum(len(weight) for weight in weights)
    with Progress("encoding", total, " rows", progress) as line:
        sources = [
            Source.of(
                table.name,
                Trained(weight, table.padding if table.padding >= 0 else None),
                None if counts is None else counts[t],
                None if sensitivity is None else sensitivity[t],
                scheme,
                line.advance,
            )
            for t, (table, weight) in enumerate(zip(made.tables, weights, strict=True))
        ]
        recovery.take_(codes_of(sources, recovery.budget_bytes, scheme.max_bits, line.advance))
