"""The formulas of the schemes that do more than hash an id, written anew: ids to rows, table by table.

Each takes a module and the number of one of its tables, and gives that virtual table, (n, D), as a differentiable
function of the module's parameters. They read the memory as a scheme lays it out, and share no code with it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pocketrec import EmbeddingBagCollection, QuotientRemainder


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


FORMULAS = {QuotientRemainder: quotient_remainder}
