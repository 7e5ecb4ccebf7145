"""Rows of trained tables to transform codes: a basis for each table, bits for each tier and number, and the codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pocketrec.compress.allocation import Spectrum, allocate
from pocketrec.compress.blocks import rows_at_once
from pocketrec.compress.moments import UNSEEN, Moments, first_rows_of_tiers, moments
from pocketrec.compress.trained import Trained
from pocketrec.errors import UsageError
from pocketrec.sharing import TransformCoding
from pocketrec.sharing.bit_packing import GUARD, pack
from pocketrec.sharing.codebooks import thresholds
from pocketrec.sharing.codes import BITS_OF_WIDTH, Codes

_MERGES = (1, 2, 4, 8)
"""Neighbouring tiers in one: what costs less is taken."""
_DAMPING = 1.0
"""Of a sensitivity: so much of its mean is added in all directions, as it was measured on few examples."""


@dataclass(frozen=True)
class Source:
    """A table to code: its rows, what is known of its tiers, and a transform."""

    trained: Trained
    moments: Moments
    metric: Tensor
    """(D, D): the error of a row e is e^T metric e."""
    analysis: Tensor
    """(D, D): rows to numbers, those that matter most first."""
    synthesis: Tensor
    """(D, D): numbers to rows."""

    @classmethod
    def of(
        cls,
        name: str,
        trained: Trained,
        counts: Tensor | None,
        sensitivity: Tensor | None,
        scheme: TransformCoding,
        advance: Callable[[int], object],
    ) -> Source:
        rows, dim = trained.weight.shape
        first_rows = first_rows_of_tiers(name, counts, rows, scheme.ratio)
        own = _weights_of_rows(trained, counts, scheme.alpha)
        known = moments(trained, first_rows, own, rows_at_once(2 * dim), advance)
        if not bool(torch.isfinite(known.second).all()):
            raise UsageError(f"weight: of table {name!r} holds infinities or NaN, which no codes come near to")
        metric = _metric(name, sensitivity, dim)
        values, vectors = torch.linalg.eigh(metric)
        root, inverse = ((vectors * values.sqrt() ** sign) @ vectors.T for sign in (1, -1))
        _, directions = torch.linalg.eigh(root @ known.second.sum(0) @ root)
        directions = directions.flip(1)
        return cls(trained, known, metric, root @ directions, (inverse @ directions).T)

    def spectrum(self, tiers: Moments) -> Spectrum:
        mean, variance = tiers.of(self.analysis)
        weight = tiers.weight[:, None]
        return Spectrum(len(self.metric), tiers.rows.tolist(), weight * mean * mean, weight * variance)


def _weights_of_rows(trained: Trained, counts: Tensor | None, alpha: float) -> Callable[[Tensor], Tensor]:
    def weights(ids: Tensor) -> Tensor:
        if counts is None:
            return torch.ones(len(ids), dtype=torch.float64, device=ids.device)
        return counts.to(ids.device)[ids].double().clamp(min=UNSEEN) ** alpha

    return weights


def _metric(name: str, sensitivity: Tensor | None, dim: int) -> Tensor:
    if sensitivity is None:
        return torch.eye(dim, dtype=torch.float64)
    if sensitivity.shape != (dim, dim) or not bool(torch.isfinite(sensitivity).all()):
        raise UsageError(
            f"sensitivity: of table {name!r} must be finite and of shape {(dim, dim)}, got {tuple(sensitivity.shape)}"
        )
    own = sensitivity.double().cpu()
    own = (own + own.T) / 2
    size = float(own.trace()) / dim
    if not size > 0:
        return 1e-12 * torch.eye(dim, dtype=torch.float64)
    return own + _DAMPING * size * torch.eye(dim, dtype=torch.float64)


def codes_of(sources: Sequence[Source], budget_bytes: int, max_bits: int, advance: Callable[[int], object]) -> Codes:
    """Of the tiers that leave the smallest error."""
    tried = []
    for count in _MERGES:
        tiers = [source.moments.merged(count) for source in sources]
        spectra = [source.spectrum(own) for source, own in zip(sources, tiers, strict=True)]
        tried.append((allocate(spectra, budget_bytes, max_bits), tiers))
    best, tiers = min(tried, key=lambda one: one[0].error)
    if best.error > 0 and not any(bool(coded.any()) for coded in best.coded):
        raise UsageError(f"a budget of {budget_bytes} bytes cannot hold one code of any table: lower the compression")
    made = [
        _coded(source, own, bits[:, coded], coded, advance)
        for source, own, bits, coded in zip(sources, tiers, best.bits, best.coded, strict=True)
    ]
    widths = torch.cat([own.bits.flatten() for own in made])
    device = made[0].packed.device
    return Codes(
        torch.cat([*(own.packed for own in made), torch.zeros(GUARD, dtype=torch.uint8, device=device)]),
        pack(widths[:, None], torch.tensor([BITS_OF_WIDTH])),
        *(torch.cat([getattr(own, name).flatten() for own in made]) for name in Codes._fields[2:]),
    )


def _coded(source: Source, tiers: Moments, bits: Tensor, coded: Tensor, advance: Callable[[int], object]) -> Codes:
    """One table; `bits` not packed yet."""
    basis, basis_scales = _rounded(source.synthesis[coded])
    used = basis.double() * basis_scales.double()[:, None]
    weighted = used @ source.metric
    analysis = weighted.T @ torch.linalg.inv(weighted @ used.T) if len(used) else weighted.T
    means, variances = tiers.of(analysis)
    scales = variances.sqrt()
    largest = torch.maximum(means.abs(), scales).amax(0).clamp(min=1e-30)
    analysis, basis_scales = analysis / largest, (basis_scales.double() * largest).float()
    means, scales = (means / largest).half(), (scales / largest).half()
    scales = torch.where(bits > 0, scales.clamp(min=torch.finfo(torch.float16).tiny), 0)
    packed = _packed(source.trained, tiers, bits, analysis, means, scales, advance)
    empty = not len(used)
    return Codes(
        packed,
        bits,
        means,
        scales[bits > 0],
        basis,
        basis_scales,
        torch.tensor([0 if empty else len(tiers.rows)], dtype=torch.int16),
        torch.tensor([len(used)], dtype=torch.int16),
        tiers.first_rows[: 0 if empty else None].int(),
    )


def _rounded(basis: Tensor) -> tuple[Tensor, Tensor]:
    """In int8 (K, D), and a float32 scale for each."""
    scales = (basis.abs().amax(1) / 127).clamp(min=1e-30).float()
    return (basis / scales[:, None]).round().to(torch.int8), scales


def _packed(
    trained: Trained,
    tiers: Moments,
    bits: Tensor,
    analysis: Tensor,
    means: Tensor,
    scales: Tensor,
    advance: Callable[[int], object],
) -> Tensor:
    device = trained.weight.device
    pieces = [torch.empty(0, dtype=torch.uint8, device=device)]
    for tier, (first, rows) in enumerate(zip(tiers.first_rows.tolist(), tiers.rows.tolist(), strict=True)):
        used = bits[tier] > 0
        widths = bits[tier, used]
        directions = (analysis[:, used] / scales[tier, used].double()).to(device)
        shift = (means[tier, used].double() / scales[tier, used].double()).to(device)
        step = 8 * max(1, rows_at_once(8 * bits.shape[1]) // 8)  # whole bytes
        for start in range(first, first + rows, step):
            ids = torch.arange(start, min(start + step, first + rows), device=device)
            if len(widths):
                numbers = trained.rows(ids).double() @ directions - shift
                pieces.append(pack(_nearest(numbers, widths), widths.to(device)))
            advance(len(ids))
    return torch.cat(pieces)


def _nearest(numbers: Tensor, widths: Tensor) -> Tensor:
    """(n, K) in standard deviations -> the codes of the nearest levels."""
    columns = [
        torch.bucketize(column.contiguous(), thresholds(bits).to(column.device))
        for column, bits in zip(numbers.unbind(1), widths.tolist(), strict=True)
    ]
    return torch.stack(columns, 1)
