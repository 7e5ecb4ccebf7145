"""The embeddings of a model: which can be swapped, and which share one weight and must be swapped together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from pocketrec.compress.elsewhere import holder_of
from pocketrec.errors import UsageError

Where = Callable[[str, nn.Module], bool]
"""(dotted name, module) -> whether to swap it."""
Torch = nn.Embedding | nn.EmbeddingBag
_REFUSED = ("max_norm", "scale_grad_by_freq")
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True, eq=False)
class Candidate:
    """A module, and where it hangs: (name, parent, attribute) each."""

    module: Torch
    places: list[tuple[str, nn.Module, str]]

    @property
    def name(self) -> str:
        """Of its first place."""
        return self.places[0][0]

    @property
    def weight(self) -> Tensor:
        """(n, D); a tensor that is made anew at every look where it is parametrised."""
        return self.module.weight

    def asked_for(self, where: Where | None) -> bool:
        """Whether it is to be swapped: at all of its places, if at one."""
        return where is None or any(where(name, self.module) for name, _, _ in self.places)


def candidates(model: nn.Module, where: Where | None) -> list[list[Candidate]]:
    """All that are asked for, those of one weight together.

    Raises:
        UsageError: the model is itself an embedding, or holds none to swap.
    """
    if isinstance(model, Torch):
        raise UsageError("the model is itself an embedding, which cannot be swapped in place: build a pocketrec one")
    places: dict[Torch, list[tuple[str, nn.Module, str]]] = defaultdict(list)
    for prefix, parent in model.named_modules():
        for attribute, child in parent._modules.items():  # `named_children` leaves out a second use
            if isinstance(child, Torch):
                places[child].append((f"{prefix}.{attribute}" if prefix else attribute, parent, attribute))
    groups = defaultdict(list)
    for one in (Candidate(*found) for found in places.items()):
        if one.asked_for(where):
            groups[one.weight].append(one)
    if not groups:
        raise UsageError("no nn.Embedding or nn.EmbeddingBag to swap" + ("" if where is None else " where you said"))
    return list(groups.values())


def why_not(model: nn.Module, group: list[Candidate]) -> str | None:
    """Why the embeddings of one weight cannot be swapped; None if they can."""
    for one in group:
        reason = _why_not(one.module)
        if reason:
            return reason if len(group) == 1 else f"{one.name}, of the same weight, {reason}"
    if len({one.module.padding_idx for one in group}) > 1:
        return "other embeddings of the same weight have another padding_idx"
    weight, modules = group[0].weight, [one.module for one in group]
    for name, other in model.named_modules():
        if other not in modules and any(p is weight for p in other.parameters(recurse=False)):
            return f"its weight is also that of {name or 'the model itself'}, which needs the whole table"
    holder = holder_of(model, weight)
    return None if holder is None else f"its weight is also held as {holder}, whose readers need the whole table"


def _why_not(module: Torch) -> str | None:
    if type(module) not in (nn.Embedding, nn.EmbeddingBag):
        return f"a subclass, {type(module).__name__}, may do more than look up"
    for argument in _REFUSED:
        if getattr(module, argument):
            return f"{argument} needs rows of its own"
    if any(getattr(module, hooks, None) for hooks in _HOOKS):
        return "has hooks, which would be lost: register them after compress_"
    return None
