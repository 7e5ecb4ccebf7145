"""Swap the embeddings of a model that exists for shared memories, in place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from pocketrec.compress.elsewhere import holder_of, replace_elsewhere
from pocketrec.compress.fit import FitConfig, fit_
from pocketrec.compress.relative_error import relative_error
from pocketrec.compress.report import MemoryReport, memory_report
from pocketrec.embedding import Embedding, EmbeddingBag
from pocketrec.errors import UsageError
from pocketrec.sharing import Robe, Scheme, TransformCoding

Where = Callable[[str, nn.Module], bool]
"""(dotted name, module) -> whether to swap it."""
Torch = nn.Embedding | nn.EmbeddingBag
_REFUSED = ("max_norm", "scale_grad_by_freq")


@dataclass(frozen=True)
class CompressionReport:
    """What was swapped, what was kept and why, and what the model's embeddings weigh now."""

    swapped: tuple[str, ...]
    kept: dict[str, str]
    """Name -> reason."""
    before: MemoryReport
    after: MemoryReport
    elsewhere: dict[str, str]
    """Dotted name of an attribute that held swapped weights beside the modules -> what became of them."""
    errors: dict[str, float] = field(default_factory=dict)
    """Name of a module that was fitted -> ||W - W'|| / ||W||, W' its rows now."""

    def __str__(self) -> str:
        kept = [f"kept {name}: {reason}" for name, reason in self.kept.items()]
        errors = [f"fitted {name}: relative error {error:.4g}" for name, error in self.errors.items()]
        elsewhere = [f"{name}: {told}" for name, told in self.elsewhere.items()]
        return "\n".join([str(self.after), *errors, *kept, *elsewhere])


def compress_(
    model: nn.Module,
    sharing: Scheme | None = None,
    *,
    compression: float,
    where: Where | None = None,
    fit: bool | FitConfig = False,
    seed: int = 0,
) -> CompressionReport:
    """Swap every `nn.Embedding` and `nn.EmbeddingBag` of `model`, in place, each for a memory of its own.

    A module used at several places is swapped at all of them. Kept, with the reason in the report: a weight that
    another module uses too (a tied output head needs the whole table), modules with `max_norm` or
    `scale_grad_by_freq`, tables too small for the compression, or that cannot be fitted (NaN), subclasses, which may do
    more than look up. Lists, tuples and dicts in which the model keeps weights, to regularise them, hold the memories
    afterwards. Rows of `padding_idx` are zeros afterwards, whatever `nn.Embedding` had there.

    Args:
        model: any module that holds embeddings; not an embedding itself.
        sharing: `Robe()` unless said otherwise.
        compression: bytes of each table in float32 over bytes of its memory.
        where: swap only modules for which it returns True.
        fit: start from the trained weights (see `fit_`), not from new ones, and report how far the rows are from them;
            a `FitConfig` says how hard to try.
        seed: of the hashes; module i takes seed + i.

    Raises:
        UsageError: the model is itself an embedding, or holds none to swap.

    Example:
        >>> report = compress_(model, compression=100, fit=True)
        >>> optimizer = torch.optim.Adagrad(model.parameters())  # after: the parameters are others
        >>> print(report)
    """
    sharing = Robe() if sharing is None else sharing
    before, kept, errors = memory_report(model), {}, {}
    swapped: list[str] = []
    swaps: dict[Tensor, nn.Module] = {}
    for number, (module, places) in enumerate(_found(model, where).items()):
        name = places[0][0]
        reason = _why_not(model, module)
        if reason is None:
            try:
                own = _ours(module, sharing, compression, seed + number)
                if isinstance(sharing, TransformCoding) and not fit:
                    raise UsageError("codes are made of trained rows: pass fit=True")
                if fit:
                    errors[name] = _fit(own, module.get_parameter("weight").detach(), fit)
            except UsageError as error:
                reason = str(error)
        if reason is not None:
            kept[name] = reason
            continue
        for _, parent, attribute in places:
            setattr(parent, attribute, own)
        swapped.append(name)
        swaps[module.get_parameter("weight")] = own
    elsewhere = replace_elsewhere(model, swaps)
    return CompressionReport(tuple(swapped), kept, before, memory_report(model), elsewhere, errors)


def _found(model: nn.Module, where: Where | None) -> dict[Torch, list[tuple[str, nn.Module, str]]]:
    """Embedding -> where it hangs: (name, parent, attribute) each."""
    if isinstance(model, Torch):
        raise UsageError("the model is itself an embedding, which cannot be swapped in place: build a pocketrec one")
    places = defaultdict(list)
    for prefix, parent in model.named_modules():
        for attribute, child in parent._modules.items():  # `named_children` leaves out a second use
            name = f"{prefix}.{attribute}" if prefix else attribute
            if isinstance(child, Torch) and (where is None or where(name, child)):
                places[child].append((name, parent, attribute))
    if not places:
        raise UsageError("no nn.Embedding or nn.EmbeddingBag to swap" + ("" if where is None else " where you said"))
    return places


def _why_not(model: nn.Module, module: Torch) -> str | None:
    if type(module) not in (nn.Embedding, nn.EmbeddingBag):
        return f"a subclass, {type(module).__name__}, may do more than look up"
    for argument in _REFUSED:
        if getattr(module, argument):
            return f"{argument} needs rows of its own"
    weight = module.get_parameter("weight")
    for name, other in model.named_modules():
        if other is not module and any(p is weight for p in other.parameters(recurse=False)):
            return f"its weight is also that of {name or 'the model itself'}, which needs the whole table"
    holder = holder_of(model, weight)
    return None if holder is None else f"its weight is also held as {holder}, whose readers need the whole table"


def _fit(own: Embedding | EmbeddingBag, weight: Tensor, config: bool | FitConfig) -> float:
    """The relative error afterwards."""
    fit_(own, weight, config if isinstance(config, FitConfig) else None)
    return relative_error(own, weight)


def _ours(module: Torch, sharing: Scheme, compression: float, seed: int) -> Embedding | EmbeddingBag:
    weight = module.get_parameter("weight")
    shape = (module.num_embeddings, module.embedding_dim)
    same: dict[str, Any] = {"padding_idx": module.padding_idx, "device": weight.device, "dtype": weight.dtype}
    same |= {"sharing": sharing, "compression": compression, "seed": seed}
    own: Embedding | EmbeddingBag
    if isinstance(module, nn.EmbeddingBag):
        own = EmbeddingBag(*shape, mode=module.mode, include_last_offset=module.include_last_offset, **same)
    else:
        own = Embedding(*shape, **same)
    for parameter in own.parameters():
        parameter.requires_grad_(weight.requires_grad)
    return own.train(module.training)
