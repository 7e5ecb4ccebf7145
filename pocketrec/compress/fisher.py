"""How much a click model's prediction minds an error in a row, direction by direction (Fisher's information of it)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from pocketrec.data.progress import Progress
from pocketrec.embedding import EmbeddingBagCollection
from pocketrec.errors import UsageError


def sensitivity(
    model: nn.Module,
    embeddings: EmbeddingBagCollection,
    batches: Iterable[Any],
    *,
    at_most: int = 32,
    progress: bool = False,
) -> list[Tensor]:
    """E[p (1 - p) g g^T] of each table, (D, D) in float64: g is the gradient of the logit by a row that is looked up.

    e^T H e is what an error e in a row costs in log loss, twice, where it is small. Weights get no gradient, and the
    model is put in evaluation mode and back.

    Args:
        model: gives logits (B,).
        embeddings: within the model, called once a batch.
        batches: `(*inputs, labels)`, as for `train`; the training split's.
        at_most: so many are taken.
        progress: show a live line on stderr.

    Raises:
        UsageError: embeddings that the model does not call, or no batch.
    """
    rows: list[Tensor] = []

    def watched(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        rows.append(output.detach().requires_grad_())
        return rows[-1]

    total = [torch.zeros(t.embedding_dim, t.embedding_dim, dtype=torch.float64) for t in embeddings.tables]
    seen, was_training = [0] * len(total), model.training
    hook = embeddings.register_forward_hook(watched)
    try:
        with Progress("sensitivity", at_most, " batches", progress) as line, torch.enable_grad():
            model.eval()
            for batch in islice(batches, at_most):
                rows.clear()
                logits = model(*batch[:-1]).flatten()
                if len(rows) != 1:
                    raise UsageError(f"embeddings: the model must call them once a batch, not {len(rows)} times")
                _add(embeddings, rows[0], logits, total, seen)
                line.advance(1)
    finally:
        hook.remove()
        model.train(was_training)
    if not sum(seen):
        raise UsageError("batches: there are none to measure a sensitivity on")
    return [own / max(count, 1) for own, count in zip(total, seen, strict=True)]


def _add(
    embeddings: EmbeddingBagCollection, rows: Tensor, logits: Tensor, total: list[Tensor], seen: list[int]
) -> None:
    (gradient,) = torch.autograd.grad(logits.sum(), rows)
    p = logits.detach().float().sigmoid()
    scaled = gradient.flatten(1).float() * (p * (1 - p)).sqrt()[:, None]
    of_feature = scaled.split(embeddings.dims, 1)
    table_of_feature = [t for t, table in enumerate(embeddings.tables) for _ in table.features]
    for t, own in zip(table_of_feature, of_feature, strict=True):
        total[t] += (own.T @ own).double().cpu()
        seen[t] += len(own)
