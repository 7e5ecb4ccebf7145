"""The nearest table of low rank: few numbers a row, and a matrix that makes rows of them.

No A @ B of rank r is nearer to W than that of its r largest singular values, B their right vectors and A = W @ B^T
(Eckart & Young, 1936): the largest eigenvectors of W^T @ W, a matrix of only (D, D). Where ids share a row of A, W is
averaged over them first, and a mean counts as often as it has ids.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pocketrec.compress.blocks import rows_at_once
from pocketrec.compress.least_squares import Advance, served_sums
from pocketrec.compress.served import Served
from pocketrec.compress.trained import Trained
from pocketrec.ops import FeatureLayout, Rule, Sign
from pocketrec.ops.layout import from_tensor, to_tensor


def is_of_whole_rows(served: Served) -> bool:
    """Whether ids have rows of the memory, one each or shared: what `nearest_factors` needs."""
    piece, *others = from_tensor(served.layout)
    hashed = piece.rule == Rule.MIXING and piece.sign == Sign.NONE and piece.exact == 0
    return not others and piece.chunk == piece.align == piece.dim and (piece.rule == Rule.DIRECT or hashed)


def nearest_factors(
    served: Served, trained: Trained, memory: Tensor, rank: int, advance: Advance
) -> tuple[Tensor, Tensor]:
    """The best memory, and the best matrix (r, D); rows that serve nothing are as in `memory`.

    Scaled as initial values are: the matrix keeps the variance of what it multiplies.
    """
    (piece,) = from_tensor(served.layout)
    trained, counts = (_own_rows if piece.rule == Rule.DIRECT else _shared_rows)(piece, trained, advance)
    vectors = _largest(_gram(trained, counts), rank).float() * math.sqrt(rank / trained.weight.shape[1])
    solution = memory.clone()
    narrow = solution[piece.base : piece.base + piece.span].view(-1, rank)
    for ids, rows in trained.blocks(rows_at_once(trained.weight.shape[1])):
        own = narrow[ids[0] : ids[-1] + 1]
        own.copy_(torch.where(counts[ids, None] > 0, rows @ vectors, own))
    return solution, vectors.T * trained.weight.shape[1] / rank


def _own_rows(piece: FeatureLayout, trained: Trained, advance: Advance) -> tuple[Trained, Tensor]:
    counts = trained.weight.new_ones(len(trained.weight), dtype=torch.float32)
    if trained.padding is not None:
        counts[trained.padding] = 0
    advance(len(trained.weight))
    return trained, counts


def _shared_rows(piece: FeatureLayout, trained: Trained, advance: Advance) -> tuple[Trained, Tensor]:
    """The mean of the ids that share each row, and how many they are."""
    dim = trained.weight.shape[1]
    padding = -1 if trained.padding is None else trained.padding
    wide = piece._replace(padding=padding, dim=dim, chunk=dim, align=dim, base=0, span=piece.places * dim)
    served = Served(to_tensor([wide]).to(trained.weight.device), None, dim)
    sums, counts = served_sums(served, trained, piece.places * dim, advance)
    return Trained((sums / counts.clamp(min=1)).view(-1, dim)), counts.view(-1, dim)[:, 0]


def _gram(trained: Trained, counts: Tensor) -> Tensor:
    """W^T @ W, each row as often as it counts, in float64."""
    dim = trained.weight.shape[1]
    gram = torch.zeros(dim, dim, dtype=torch.float64, device=counts.device)
    for ids, rows in trained.blocks(rows_at_once(dim)):
        gram += (rows * counts[ids, None]).T @ rows
    return gram


def _largest(gram: Tensor, rank: int) -> Tensor:
    """The eigenvectors of the largest eigenvalues, (D, r)."""
    return torch.linalg.eigh(gram).eigenvectors[:, -rank:].flip(1)
