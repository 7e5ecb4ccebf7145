"""What a compression costs: how far the rows that are served lie from those of the trained table."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from pocketrec.compress.blocks import rows_at_once, rows_in_cache
from pocketrec.compress.served import Served
from pocketrec.compress.trained import Trained
from pocketrec.embedding import Embedding, EmbeddingBag

_SAMPLE = 1 << 15


@torch.no_grad()
def relative_error(embedding: Embedding | EmbeddingBag, weight: Tensor) -> float:
    """||W - W'|| / ||W||, W' the rows as the module serves them now; without the padding row. 0 where W is 0 too.

    Where rows are computed, not sums, of 32,768 rows drawn at random.
    """
    error = square = 0.0
    for ids, rows in _blocks(embedding, Trained(weight.detach(), embedding.padding_idx)):
        error += torch.linalg.vector_norm(embedding.lookup(ids[:, None]).float() - rows).item() ** 2
        square += torch.linalg.vector_norm(rows).item() ** 2
    return math.sqrt(error / square) if square else math.inf if error else 0.0


def _blocks(embedding: Embedding | EmbeddingBag, trained: Trained) -> Iterator[tuple[Tensor, Tensor]]:
    served = Served.by(embedding)
    rows = rows_in_cache(served.widest)
    if served.recovery is None or served.recovery.linear:
        if embedding.bits is not None:  # whose integers every lookup makes anew
            rows = rows_at_once(served.widest, embedding.get_parameter("memory").numel())
        return trained.blocks(rows)
    generator = torch.Generator(trained.weight.device).manual_seed(0)
    return ((ids, trained.rows(ids)) for ids in trained.draw(_SAMPLE, generator).split(rows))
