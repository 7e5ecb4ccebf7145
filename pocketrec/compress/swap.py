"""Swap the embeddings of a model that exists for shared memories, in place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from pocketrec.compress.candidates import Candidate, Torch, Where, candidates, why_not
from pocketrec.compress.elsewhere import replace_elsewhere
from pocketrec.compress.fit import FitConfig, fit_
from pocketrec.compress.relative_error import relative_error
from pocketrec.compress.report import MemoryReport, memory_report
from pocketrec.embedding import Embedding, EmbeddingBag
from pocketrec.embedding.arguments import check_sharing
from pocketrec.embedding.budget import check_compression
from pocketrec.embedding.tables import SharedTables
from pocketrec.errors import UsageError, whole_number
from pocketrec.sharing import Full, Robe, Scheme, TransformCoding


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

    A module used at several places is swapped at all of them, and embeddings of one weight together: they then share a
    memory. Kept, with the reason in the report: a weight that another module uses too (a tied output head needs the
    whole table), modules with hooks, `max_norm` or `scale_grad_by_freq`, tables too small for the compression, or that
    cannot be fitted (NaN), subclasses, which may do more than look up. Lists, tuples and dicts in which the model keeps
    weights, to regularise them, hold the memories afterwards. Rows of `padding_idx` are zeros afterwards, whatever
    `nn.Embedding` had there.

    Args:
        model: any module that holds embeddings; not an embedding itself.
        sharing: `Robe()` unless said otherwise.
        compression: bytes of each table in float32 over bytes of its memory.
        where: swap only modules for which it returns True, at one of their places if they have several.
        fit: start from the trained weights (see `fit_`), not from new ones, and report how far the rows are from them;
            a `FitConfig` says how hard to try.
        seed: of the hashes; module i takes seed + i.

    Raises:
        UsageError: the model is itself an embedding, or holds none to swap; no scheme, or one that cannot be asked for
            here (full tables; codes without fit=True); a compression below 1.

    Example:
        >>> report = compress_(model, compression=100, fit=True)
        >>> optimizer = torch.optim.Adagrad(model.parameters())  # after: the parameters are others
        >>> print(report)
    """
    sharing = Robe() if sharing is None else sharing
    _check(sharing, compression, fit, seed)
    before, swapped = memory_report(model), list[str]()
    kept: dict[str, str] = {}
    errors: dict[str, float] = {}
    swaps: dict[Tensor, nn.Module] = {}
    for number, group in enumerate(candidates(model, where)):
        reason = why_not(model, group)
        if reason is None:
            try:
                owns, error = _shared(group, sharing, compression, seed + number, fit)
            except UsageError as refusal:
                reason = str(refusal)
        if reason is not None:
            kept |= {one.name: reason for one in group}
            continue
        for one, own in zip(group, owns, strict=True):
            for _, parent, attribute in one.places:
                setattr(parent, attribute, own)
            swapped.append(one.name)
        errors |= {} if error is None else {group[0].name: error}
        swaps[group[0].weight] = owns[0]
    elsewhere = replace_elsewhere(model, swaps)
    return CompressionReport(tuple(swapped), kept, before, memory_report(model), elsewhere, errors)


def _check(sharing: Scheme, compression: float, fit: bool | FitConfig, seed: int) -> None:
    """What is wrong for every table."""
    check_sharing(sharing)
    check_compression(compression)
    whole_number("seed", seed, at_least=0)
    if isinstance(sharing, Full):
        raise UsageError("sharing: Full() stores every row, which the model does already")
    if isinstance(sharing, TransformCoding) and not fit:
        raise UsageError("sharing: codes are made of trained rows: pass fit=True")


def _shared(
    group: list[Candidate], sharing: Scheme, compression: float, seed: int, fit: bool | FitConfig
) -> tuple[list[Embedding | EmbeddingBag], float | None]:
    """What serves in place of each embedding of one weight, and how far the rows are from it if they were fitted."""
    owns = [_ours(one.module, sharing, compression, seed) for one in group]
    error = _fit(owns[0], group[0].weight.detach(), fit) if fit else None
    for number, (one, own) in enumerate(zip(group, owns, strict=True)):
        if number and _alike(one.module, group[0].module):
            owns[number] = owns[0]
        elif number:
            _tie(own, owns[0])
    return owns, error


def _alike(one: nn.Module, other: nn.Module) -> bool:
    settings = ("mode", "include_last_offset", "training")
    return type(one) is type(other) and all(getattr(one, s, None) == getattr(other, s, None) for s in settings)


def _tie(own: SharedTables, first: SharedTables) -> None:
    """Let a module of other settings read what the first keeps."""
    if first.recovery is not None and first.recovery.adapts:
        raise UsageError(f"{first.sharing} learns a map, which an Embedding and an EmbeddingBag cannot share")
    own._parameters.update(first._parameters)
    if own.recovery is not None and first.recovery is not None:
        own.recovery.tie_(first.recovery)


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
