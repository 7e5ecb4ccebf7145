"""Random lookups for the tests of ops, schemes and embeddings, and the oracle they are held against.

`SCHEMES` are those a layout describes whole; `RECOVERED` do more, and have their formulas in oracles.py.
"""

from __future__ import annotations

import oracles
import torch
from torch import Tensor

from pocketrec import (
    Clustered,
    DeepHash,
    EmbeddingBagCollection,
    Full,
    HashedNets,
    HashEmbeddings,
    HashingTrick,
    HotCold,
    LowRank,
    MixedDimensions,
    MultiHash,
    QuotientRemainder,
    Robe,
    Table,
    TensorTrain,
)
from pocketrec.ops import FeatureLayout, Mode, reference
from pocketrec.ops.layout import from_tensor

SCHEMES = {
    "robe": Robe(chunk_size=4),
    "robe-1-signed": Robe(chunk_size=1, signed=True),
    "robe-ragged": Robe(chunk_size=5),
    "robe-whole-row": Robe(chunk_size=64),
    "robe-aligned": Robe(chunk_size=8, align=8),
    "robe-linear": Robe(chunk_size=4, hash="linear"),
    "robe-linear-signed": Robe(chunk_size=3, hash="linear", signed=True, align=2),
    "robe-authors": Robe(chunk_size=8, hash="authors"),
    "hashednets": HashedNets(),
    "hashing-trick": HashingTrick(),
    "full": Full(),
}


RECOVERED = {
    "robe-2-hashes": Robe(chunk_size=4, num_hashes=2),
    "robe-3-hashes": Robe(chunk_size=5, num_hashes=3, signed=True, align=2),
    "multi-hash-sum": MultiHash(3),
    "multi-hash-concat": MultiHash(2, "concat"),
    "hash-embeddings": HashEmbeddings(),
    "hash-embeddings-3": HashEmbeddings(3, importance=0.5),
    "qr-concat": QuotientRemainder("concat"),
    "qr-add": QuotientRemainder("add"),
    "qr-multiply": QuotientRemainder("multiply"),
    "cce": Clustered(),
    "cce-1": Clustered(columns=1),
    "hot-cold": HotCold(cold=Robe(4, signed=True), ways=2, candidates=1),
    "low-rank": LowRank(),
    "low-rank-4": LowRank(4),
    "low-rank-hashed": LowRank(2, "hashed"),
    "mixed-dimensions": MixedDimensions(),
    "mixed-dimensions-powers": MixedDimensions(0.5, powers_of_two=True),
    "tt": TensorTrain(),
    "tt-2": TensorTrain(2),
    "dhe": DeepHash(),
    "dhe-mish": DeepHash(num_hashes=3, depth=3, activation="mish"),
}
ALL = SCHEMES | RECOVERED
COLUMNS = ("qr-concat", "multi-hash-concat", "cce", "cce-ragged")
"""Those that put pieces side by side, for which a row can be too narrow."""
LEAST = {"cce-1": 60, "hot-cold": 200, "qr-add": 400, "qr-multiply": 400, "low-rank-4": 600}
LEAST |= {"low-rank": 100, "low-rank-hashed": 100, "mixed-dimensions": 500, "mixed-dimensions-powers": 700}
LEAST |= {"tt": 100, "tt-2": 300, "dhe": 100, "dhe-mish": 100}
"""Slots, where a scheme takes more than the tests' usual budget."""


def budget(scheme: str, memory_size: int = 211) -> dict[str, int]:
    """What to give a module of this scheme."""
    return {} if scheme == "full" else {"memory_size": max(memory_size, LEAST.get(scheme, 0))}


def collection(scheme: str, tables: list[Table], memory_size: int = 211, **options: object) -> EmbeddingBagCollection:
    """A float64 collection, so that comparisons are sharp."""
    return EmbeddingBagCollection(tables, ALL[scheme], dtype=torch.float64, **budget(scheme, memory_size), **options)


def random_bags(module: EmbeddingBagCollection, samples: int, longest: int = 4) -> tuple[Tensor, Tensor]:
    """Feature-major bags of 0 to `longest` ids, with duplicates."""
    lengths = torch.randint(0, longest + 1, (module.num_features, samples))
    limits = [table.num_embeddings for table in module.tables for _ in table.features]
    values = [torch.randint(0, n, (int(k),)) for n, k in zip(limits, lengths.sum(1), strict=True)]
    return torch.cat(values), torch.cat([torch.zeros(1, dtype=torch.int64), lengths.reshape(-1).cumsum(0)])


def materialise(module: EmbeddingBagCollection) -> list[Tensor]:
    """The virtual table of each feature, (n, D), as a differentiable function of the module's parameters."""
    if module.recovery is not None:
        return oracles.virtual_tables(module)
    (parameter,) = module.parameters()
    (layout,) = module.buffers()
    return [reference.rows(parameter, f, torch.arange(f.num_embeddings)) for f in from_tensor(layout)]


def features_of(module: EmbeddingBagCollection) -> list[FeatureLayout]:
    """Each feature's padding, mode and D."""
    return [t.layout(rule=0, base=0, span=1, chunk=1, places=1) for t in module.tables for _ in t.features]


def pool(module: EmbeddingBagCollection, values: Tensor, offsets: Tensor, weights: Tensor | None = None) -> Tensor:
    """What the collection must return, by looping over bags of the materialised tables."""
    virtual, features = materialise(module), features_of(module)
    samples = (len(offsets) - 1) // module.num_features
    columns = []
    for number, feature in enumerate(features):
        bags = []
        for b in range(samples):
            first, last = offsets[number * samples + b : number * samples + b + 2]
            ids = values[first:last]
            kept = ids != feature.padding
            rows = virtual[number][ids[kept]]
            if weights is not None:
                rows = rows * weights[first:last][kept][:, None]
            bags.append(_pool_rows(rows, feature.mode, feature.dim))
        columns.append(torch.stack(bags) if bags else virtual[number].new_zeros(0, feature.dim))
    return torch.cat(columns, dim=1)


def _pool_rows(rows: Tensor, mode: int, dim: int) -> Tensor:
    if not len(rows):
        return rows.new_zeros(dim)
    return {Mode.SUM: rows.sum(0), Mode.MEAN: rows.mean(0), Mode.MAX: rows.max(0).values}[Mode(mode)]


def tables(pooling: str = "sum", padding: int | None = None) -> list[Table]:
    """Three features over two tables of width 12, whose rows no chunk size but 4 divides."""
    return [
        Table("a", 129, 12, pooling=pooling, padding_idx=padding),
        Table("b", 1, 12, ("b1", "b2"), pooling=pooling),
    ]
