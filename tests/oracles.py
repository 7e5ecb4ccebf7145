"""The formulas of the schemes that do more than hash an id, written anew: ids to rows, table by table.

Each takes a module and the number of one of its tables, and gives that virtual table, (n, D), as a differentiable
function of the module's parameters. They read the memory as a scheme lays it out, and share no code with it.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import torch
from torch import Tensor

from pocketrec import (
    Clustered,
    DeepHash,
    EmbeddingBagCollection,
    HashEmbeddings,
    HotCold,
    LowRank,
    MixedDimensions,
    MultiHash,
    QuotientRemainder,
    Robe,
    Table,
    TensorTrain,
    hashing,
)
from pocketrec.ops import reference
from pocketrec.ops.layout import from_tensor


def virtual_tables(module: EmbeddingBagCollection) -> list[Tensor]:
    """One a feature."""
    formula = FORMULAS[type(module.sharing)]
    return [formula(module, number) for number, table in enumerate(module.tables) for _ in table.features]


def quotient_remainder(module: EmbeddingBagCollection, number: int) -> Tensor:
    """Q then R of each table, one after another; collisions as the module says they are, divided as Python divides."""
    operation, base = module.sharing.operation, 0
    for position, table in enumerate(module.tables):
        width = table.embedding_dim // 2 if operation == "concat" else table.embedding_dim
        c = int(module.recovery.collisions[position])
        quotients = math.ceil(table.num_embeddings / c)
        q = module.memory[base : base + quotients * width].view(quotients, width)
        r = module.memory[base + quotients * width : base + (quotients + c) * width].view(c, width)
        base += (quotients + c) * width
        if position == number:
            pairs = [divmod(i, c) for i in range(table.num_embeddings)]
            first, second = q[[a for a, _ in pairs]], r[[b for _, b in pairs]]
            if operation == "concat":
                return torch.cat([first, second], 1)
            return first + second if operation == "add" else first * second
    raise AssertionError


def hot_cold(module: EmbeddingBagCollection, number: int) -> Tensor:
    """Hot rows, the narrowest tables' first, place by place; the other ids' ROBE rows lie behind all of them."""
    table, recovery = module.tables[number], module.recovery
    keys, ways, dim = recovery.sketch.keys, module.sharing.ways, table.embedding_dim
    buckets = {t.embedding_dim: int(n) for t, n in zip(module.tables, recovery.buckets, strict=True)}
    first_bucket = sum(n for d, n in buckets.items() if d < dim)
    first_slot = sum(n * ways * d for d, n in buckets.items() if d < dim)
    cold_memory = module.memory[sum(n * ways * d for d, n in buckets.items()) :]
    tables = [Table(t.name, None, t.embedding_dim) for t in module.tables]
    cold = EmbeddingBagCollection(tables, module.sharing.cold, memory_size=len(cold_memory), seed=module.seed)
    rows = []
    for i in range(table.num_embeddings):
        hashed = int(hashing.mixing_hash(torch.tensor([i]), 0, hashing.mixing_key(module.seed, -2 - number))[0])
        bucket = (((hashed >> 32) & 0xFFFFFFFF) * buckets[dim]) >> 32
        held = keys[first_bucket + bucket, :ways].tolist()
        fingerprint = max(hashed & 0x7FFFFFFF, 1)
        if fingerprint in held:
            first = first_slot + (bucket * ways + held.index(fingerprint)) * dim
            rows.append(module.memory[first : first + dim])
        else:
            layout = from_tensor(cold.layout)[number]
            rows.append(reference.rows(cold_memory, layout, torch.tensor([buckets[dim] * ways + i]))[0])
    return torch.stack(rows)


def clustered(module: EmbeddingBagCollection, number: int) -> Tensor:
    """Table by table, column by column: k centroids and m hashed rows; the whole table where it is kept exactly."""
    columns, recovery, base = module.sharing.columns, module.recovery, 0
    k, m = recovery.sizes.tolist()
    salt = int(recovery.counters[1]) * 0x278DDE6E5FD29F05 % 2**61 + 2**61
    for position, table in enumerate(module.tables):
        first, found = int(recovery.first[position]), []
        rows = table.num_embeddings if first < 0 else k + m
        for c in range(columns):
            width = table.embedding_dim // columns + (c < table.embedding_dim % columns)
            column = module.memory[base : base + rows * width].view(rows, width)
            base += rows * width
            if first < 0:
                found.append(column)
                continue
            ids = torch.arange(table.num_embeddings)
            hashed = hashing.mixing_hash(ids ^ salt, 0, hashing.mixing_key(module.seed, position * columns + c))
            h = [(((v >> 32) & 0xFFFFFFFF) * m) >> 32 for v in hashed.tolist()]
            found.append(column[recovery.pointers[first + ids, c].tolist()] + column[k:][h])
        if position == number:
            return torch.cat(found, 1)
    raise AssertionError


def term(x: int, j: int) -> int:
    """The id that the j-th hash of x is the hash of."""
    return x ^ (j * 0x278DDE6E5FD29F05 % 2**62)


def robe_sum(module: EmbeddingBagCollection, number: int) -> Tensor:
    """k reads of ROBE."""
    table, scheme, slots = module.tables[number], module.sharing, module.memory.numel()
    elements, z = torch.arange(table.embedding_dim), min(scheme.chunk_size, table.embedding_dim)
    total = torch.zeros(())
    for j in range(scheme.num_hashes):
        ids = torch.tensor([term(x, j) for x in range(table.num_embeddings)])
        hashed = hashing.mixing_hash(ids[:, None], elements // z, hashing.mixing_key(module.seed, number))
        starts = scheme.align * hashing.scale(hashed, slots // scheme.align)
        signs = hashing.chunk_sign(hashed) if scheme.signed else 1
        total = total + module.memory[(starts + elements % z) % slots] * signs
    return total


def short_table(module: EmbeddingBagCollection, number: int, piece: int = 0) -> Tensor:
    """The rows that a piece of a table has in the memory, (m, width), where the layout says."""
    first = sum(len(t.features) for t in module.tables[:number])
    layout = from_tensor(module.layout)[first * module.recovery.splits + piece]
    return module.memory[layout.base : layout.base + layout.span].view(-1, layout.dim)


def hashed_rows(rows: Tensor, ids: list[int], key: int) -> Tensor:
    """The row of each id, by its hash under this key."""
    return rows[hashing.scale(hashing.mixing_hash(torch.tensor(ids), 0, key), len(rows))]


def terms_of(module: EmbeddingBagCollection, number: int) -> list[Tensor]:
    """The rows of each hash of each id in the one short table of its table."""
    rows, key = short_table(module, number), hashing.mixing_key(module.seed, number)
    ids = range(module.tables[number].num_embeddings)
    return [hashed_rows(rows, [term(x, j) for x in ids], key) for j in range(module.sharing.num_hashes)]


def multi_hash(module: EmbeddingBagCollection, number: int) -> Tensor:
    """Rows of one short table, summed; or of one a hash, side by side. A table as long as its ids is exact."""
    n, k = module.tables[number].num_embeddings, module.sharing.num_hashes
    if module.sharing.operation == "sum":
        rows = short_table(module, number)
        return rows if len(rows) == n else torch.stack(terms_of(module, number)).sum(0)
    pieces = [short_table(module, number, j) for j in range(k)]
    if len(pieces[0]) == n:
        return torch.cat(pieces, 1)
    keys = [hashing.mixing_key(module.seed, number * k + j) for j in range(k)]
    return torch.cat([hashed_rows(rows, list(range(n)), key) for rows, key in zip(pieces, keys, strict=True)], 1)


def hash_embeddings(module: EmbeddingBagCollection, number: int) -> Tensor:
    """As multi_hash, each term times the id's weight for it: its own, or those of the row it is hashed to."""
    exact = [len(short_table(module, i)) == t.num_embeddings for i, t in enumerate(module.tables)]
    sizes = [0 if e else t.num_embeddings for e, t in zip(exact, module.tables, strict=True)]
    n, weights = sizes[number], module.recovery.importance
    if n == 0:
        return short_table(module, number)
    if len(weights) == sum(sizes):
        own = weights[sum(sizes[:number]) :][:n]
    else:
        a, b = (hashing.mixing_key(module.seed, -i - 2 * number) for i in (1, 2))
        own = weights[[((((a | 1) * x + b) % 2**64 >> 33) * len(weights)) >> 31 for x in range(n)]]
    return sum(own[:, j, None] * rows for j, rows in enumerate(terms_of(module, number)))


def low_rank(module: EmbeddingBagCollection, number: int) -> Tensor:
    """Narrow rows times the table's matrix; rows that are as wide as they should be have none."""
    n, rows = module.tables[number].num_embeddings, short_table(module, number)
    if len(rows) < n:
        rows = hashed_rows(rows, list(range(n)), hashing.mixing_key(module.seed, number))
    if rows.shape[1] == module.tables[number].embedding_dim:
        return rows
    return torch.einsum("nr,rd->nd", rows, module.recovery.projections[str(number)])


def tensor_train(module: EmbeddingBagCollection, number: int) -> Tensor:
    """Number by number: the product of a row, a matrix and a column, for the digits of x and of the element."""
    table = module.tables[number]
    first, second, third = (short_table(module, number, piece) for piece in range(3))
    if len(second) == len(third) == 1:
        return first
    (d1, d2, d3), r = FACTORS[table.embedding_dim], math.isqrt(second.shape[1] // FACTORS[table.embedding_dim][1])
    assert (first.shape[1], second.shape[1], third.shape[1]) == (d1 * r, r * d2 * r, r * d3)
    numbers = []
    for x in range(table.num_embeddings):
        x1, x2, x3 = x // len(third) // len(second), x // len(third) % len(second), x % len(third)
        for j1, j2, j3 in product(range(d1), range(d2), range(d3)):
            row = first[x1].view(d1, r)[j1]
            matrix = second[x2].view(r, d2, r)[:, j2]
            numbers.append(row @ matrix @ third[x3].view(r, d3)[:, j3])
    return torch.stack(numbers).view(-1, table.embedding_dim)


FACTORS = {1: (1, 1, 1), 2: (1, 1, 2), 3: (1, 1, 3), 4: (2, 1, 2), 5: (1, 1, 5), 6: (2, 1, 3), 7: (1, 1, 7)}
FACTORS |= {8: (2, 2, 2), 9: (3, 1, 3), 12: (2, 2, 3)}
"""Of D: near each other, the smallest in the middle."""


ACTIVATIONS = {"relu": torch.relu, "mish": lambda z: z * torch.tanh(torch.log1p(torch.exp(z)))}


def deep_hash(module: EmbeddingBagCollection, number: int) -> Tensor:
    """A network for each table, those of a width stacked; numbers of 16 bits of hashes, in (-1, 1)."""
    table, deep = module.tables[number], module.recovery.deep.tolist()
    if not deep[number]:
        return short_table(module, number)
    stack = module.recovery.networks[str(table.embedding_dim)]
    place = sum(d for d, t in zip(deep[:number], module.tables, strict=False) if t.embedding_dim == table.embedding_dim)
    k, key = stack.weights[0].shape[1], hashing.mixing_key(module.seed, number)
    hashed = hashing.mixing_hash(np.arange(table.num_embeddings)[:, None], np.arange(k), key)
    rows = torch.from_numpy((((hashed >> 48) & 0xFFFF) + 0.5) / 32768 - 1)
    activation = ACTIVATIONS[module.sharing.activation]
    for layer, (weight, bias) in enumerate(zip(stack.weights, stack.biases, strict=True)):
        rows = (activation(rows) if layer else rows).to(weight.dtype) @ weight[place] + bias[place]
    return rows


FORMULAS = {
    LowRank: low_rank,
    MixedDimensions: low_rank,
    TensorTrain: tensor_train,
    DeepHash: deep_hash,
    Robe: robe_sum,
    MultiHash: multi_hash,
    HashEmbeddings: hash_embeddings,
    QuotientRemainder: quotient_remainder,
    Clustered: clustered,
    HotCold: hot_cold,
}
