"""Hash draws through the real kernels, and what repeated draws say of a formula."""

from __future__ import annotations

import numpy as np
import torch

from pocketrec import EmbeddingBagCollection, Robe, Table


def places(ids: np.ndarray, dims: list[int], slots: int, scheme: Robe, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The slot and the sign behind each element of the rows of these ids, for tables of these widths: (n, sum of D).

    Read off looked-up rows: the memory holds 1, 2, 3, ...
    """
    tables = [Table(f"t{number}", None, dim) for number, dim in enumerate(dims)]
    module = EmbeddingBagCollection(tables, scheme, memory_size=slots, seed=seed, dtype=torch.float64)
    with torch.no_grad():
        module.memory.copy_(torch.arange(1, slots + 1))
        rows = module.lookup(torch.from_numpy(np.repeat(ids[:, None], len(dims), 1))).numpy()
    return np.abs(rows).astype(np.int64) - 1, np.sign(rows)


def repeated(draws: int, rows: int, dim: int, slots: int, scheme: Robe) -> tuple[np.ndarray, np.ndarray]:
    """Many draws of where one table's rows lie, (draws, rows, D): ids never used before are a draw of their own."""
    found = places(np.arange(draws * rows), [dim], slots, scheme)
    return tuple(v.reshape(draws, rows, dim) for v in found)


def sketched(values: np.ndarray, at: np.ndarray, signs: np.ndarray, slots: int) -> np.ndarray:
    """R'x of each draw: (n, D) values at (draws, n, D) places -> (draws, M)."""
    draws = len(at)
    cells = (at + slots * np.arange(draws)[:, None, None]).ravel()
    return np.bincount(cells, (signs * values).ravel(), draws * slots).reshape(draws, slots)


def loads(at: np.ndarray, slots: int) -> np.ndarray:
    """The load of each slot in each draw: (draws, M)."""
    return sketched(np.ones(at.shape[1:]), at, np.ones(at.shape), slots).astype(np.int64)


def agrees(samples: np.ndarray, expected: float, errors: float = 4.0) -> bool:
    """Whether the mean of independent samples is within so many standard errors of what is expected."""
    return abs(samples.mean() - expected) <= errors * samples.std(ddof=1) / np.sqrt(len(samples))
