"""Which stored numbers serve which elements of a row: asked of autograd, told in runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from pocketrec import Clustered, DeepHash, EmbeddingBagCollection, HotCold, Robe, Table
from pocketrec.errors import UsageError
from pocketrec.sharing import SCHEMES

USERS, DIM = 20, 8
TABLES = (Table("user", USERS, DIM), Table("item", 3, DIM))
OPTIONS: Mapping[str, Any] = {
    "robe": Robe(chunk_size=4),
    "cce": Clustered(columns=2),
    "dhe": DeepHash(activation="mish"),
    "hot-cold": HotCold(cold=Robe(chunk_size=4), ways=1, candidates=1),
}
"""Where a scheme's defaults are made for wider rows."""
BUDGETS: Mapping[str, int] = {"cce": 80, "low-rank": 80, "dhe": 80}
"""Slots, where 64 show too little."""
OFTEN = 3
"""The user who has come most often."""

Pattern = np.ndarray
"""Of one kind of weights: the derivative of each element of each row by each of them, (rows, D, weights)."""


def build(word: str) -> EmbeddingBagCollection:
    """The tables, shared; one user has been seen often."""
    scheme = OPTIONS.get(word) or SCHEMES[word]()
    torch.manual_seed(0)
    for slots in (BUDGETS.get(word, 64), 80, 104, 128, 256):
        budget = None if scheme.row_sparse else slots
        try:
            module = EmbeddingBagCollection(TABLES, scheme, memory_size=budget, init=1.0)
        except UsageError:
            continue
        module.train()(torch.tensor([[OFTEN, item] for item in (0, 1, 2)]))
        return module.eval()
    raise AssertionError(f"{word}: no budget that was tried is enough")


def jacobian(module: EmbeddingBagCollection, users: Sequence[int], item: int) -> dict[str, Pattern]:
    """The users' rows and the item's by the memory, and by all weights that lie beside it."""
    out = module(torch.tensor([[user, item] for user in users]))
    elements = torch.cat([out[:, 0], out[:1, 1]]).flatten()
    found = {}
    for name, parameters in _weights(module).items():
        grads = [torch.autograd.grad(e, parameters, retain_graph=True, allow_unused=True) for e in elements]
        flat = [np.concatenate([_dense(g, p) for g, p in zip(own, parameters, strict=True)]) for own in grads]
        found[name] = np.stack(flat).reshape(len(users) + 1, DIM, -1)
    return found


def _weights(module: EmbeddingBagCollection) -> dict[str, list[torch.nn.Parameter]]:
    beside = [(name.split(".")[1], p) for name, p in module.named_parameters() if "." in name]
    memory = "tables" if module.sparse_gradients else "memory"
    found = {memory: [p for name, p in module.named_parameters() if "." not in name]}
    if beside:
        found[" and ".join(sorted({name for name, _ in beside}))] = [p for _, p in beside]
    return found


def _dense(grad: torch.Tensor | None, parameter: torch.Tensor) -> np.ndarray:
    if grad is None:
        return np.zeros(parameter.numel())
    dense: np.ndarray = (grad.to_dense() if grad.is_sparse else grad).flatten().numpy()
    return dense


def company(module: EmbeddingBagCollection) -> tuple[int, int]:
    """Whom to draw beside the frequent user: one who shares slots, but few, if there is one, and an item.

    Rows that lie in as many slots as they can are preferred, as they are easier to see.
    """

    def slots(user: int, item: int) -> list[set[int]]:
        served = next(iter(jacobian(module, (user,), item).values()))
        return [set(np.flatnonzero(row.any(0)).tolist()) for row in served]

    own, others = slots(OFTEN, 0)[0], [user % USERS for user in range(OFTEN + 1, OFTEN + USERS)]
    of_users = {user: slots(user, 0)[0] for user in others}
    few = {user: len(own & other) or 1 << 30 for user, other in of_users.items()}
    of_items = {item: slots(OFTEN, item)[1] for item in range(3)}
    user = min(of_users, key=lambda user: (few[user], -len(of_users[user])))
    return user, max(of_items, key=lambda item: len(of_items[item]))


class Ribbon(NamedTuple):
    """A run of elements and the run of weights that serve them: one each, or each of them all."""

    element: int
    elements: int
    weight: int
    weights: int
    one_each: bool


def runs(served: np.ndarray) -> Iterator[Ribbon]:
    """The pattern (D, weights) of one row in few ribbons."""
    sets = [tuple(np.flatnonzero(column).tolist()) for column in served.T]
    start = 0
    while start < len(sets):
        own, stop = sets[start], start + 1
        one_each = sets[stop : stop + 1] == [_moved(own, 1)] != [own]
        while stop < len(sets) and sets[stop] == (_moved(own, stop - start) if one_each else own):
            stop += 1
        if one_each:
            yield from (Ribbon(element, stop - start, start, stop - start, True) for element in own)
        else:
            yield from (Ribbon(first, last - first, start, stop - start, False) for first, last in intervals(own))
        start = stop


def _moved(elements: Sequence[int], by: int) -> tuple[int, ...]:
    return tuple(element + by for element in elements)


def intervals(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """0 1 2 5 -> (0, 3), (5, 6)"""
    firsts = [n for n in numbers if n - 1 not in numbers]
    return list(zip(firsts, [n + 1 for n in numbers if n + 1 not in numbers], strict=True))
