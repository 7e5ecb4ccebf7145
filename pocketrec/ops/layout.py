"""Where rows lie: the table of integers that tells the lookup, feature by feature, how ids become slots.

Every linear sharing scheme is one answer to "where does chunk c of id x of table t start, and with what sign?":

    place = id | mixing hash of (id, chunk) | linear hash of (id, chunk)      in [0, places)
    start = align * place                                                     in [0, span)
    row[c * chunk + i] = sign * memory[base + (start + i) mod span]

but ids below `exact` have rows of their own: row[i] = memory[exact_base + id * dim + i] (times a sign per element).

A full table is the direct rule with one chunk as wide as the row; the hashing trick is the mixing rule with rows for
chunks; ROBE-Z is either hash with chunks of Z slots over the whole memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import torch
from torch import Tensor

SCALE_BLOCK = 64  # slots of an int8 memory that share a scale; kScaleBlock in kernels/cpu/slots.h is the same


class Rule(IntEnum):
    DIRECT, MIXING, LINEAR = range(3)


class Mode(IntEnum):
    SUM, MEAN, MAX = range(3)


class Sign(IntEnum):
    NONE, PER_CHUNK, PER_ELEMENT = range(3)


class FeatureLayout(NamedTuple):
    """One feature's row of the layout; `struct Feature` in kernels/cpu/row.h reads the same numbers, same order."""

    rule: int  # Rule
    num_embeddings: int  # ids lie in [0, num_embeddings)
    padding: int  # the id that contributes nothing, inside num_embeddings or not; or -1
    dim: int  # D, elements of a row
    column: int  # first output column
    mode: int  # Mode
    base: int  # first slot of the region rows are read from
    span: int  # slots in that region
    chunk: int  # Z, slots copied at once
    align: int  # chunk starts are multiples of it
    places: int  # how many starts there are
    sign: int  # Sign
    place_0: int = 0  # mixing: key; linear: constant, id factor, chunk factor
    place_1: int = 0
    place_2: int = 0
    sign_0: int = 0  # linear coefficients of the sign per element
    sign_1: int = 0
    sign_2: int = 0
    exact: int = 0  # ids below it have rows of their own,
    exact_base: int = 0  # from this slot on, all before `base`

    @property
    def place_coefficients(self) -> tuple[int, int, int]:
        return self.place_0, self.place_1, self.place_2

    @property
    def sign_coefficients(self) -> tuple[int, int, int]:
        return self.sign_0, self.sign_1, self.sign_2


def to_tensor(features: Sequence[FeatureLayout]) -> Tensor:
    """The (F, 20) int64 tensor the ops take."""
    return torch.tensor(features, dtype=torch.int64).reshape(-1, len(FeatureLayout._fields))


def from_tensor(layout: Tensor) -> list[FeatureLayout]:
    """The rows of a layout tensor, named."""
    return [FeatureLayout(*row) for row in layout.tolist()]
