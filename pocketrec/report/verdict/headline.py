"""The headline: quality by scheme, and which way the scales tip at each target; and the whole verdict under it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pocketrec.report.evidence import Evidence, label, labels
from pocketrec.report.looks import name_of
from pocketrec.report.verdict.caveats import caveats
from pocketrec.report.verdict.findings import Quality, Scales, findings, hidden, near, quality, scales
from pocketrec.report.words import capital, listed, times
from pocketrec.study import Summary, Target


@dataclass(frozen=True)
class Verdict:
    """Plain sentences."""

    headline: Sequence[str]
    findings: dict[str, list[str]]
    """By cell, as it is called: `ROBE at 100x`."""
    caveats: Sequence[str]


def verdict(evidence: Evidence) -> Verdict:
    """What the study says."""
    return Verdict(
        [*_quality(evidence), *_time(evidence)],
        {capital(label(s.cell)): findings(evidence, s) for s in evidence.compressed},
        caveats(evidence),
    )


def _quality(evidence: Evidence) -> Iterator[str]:
    """A sentence per scheme."""
    if not evidence.measured:
        yield "No compressed model has finished yet: there is no verdict."
    elif evidence.full is None:
        yield "Full tables have not finished yet: there is nothing to compare with, and no verdict."
    else:
        for scheme in evidence.looks:
            if cells := evidence.of_scheme(scheme):
                yield f"{capital(name_of(scheme))}: {'; '.join(_by_quality(cells))}."


def _by_quality(cells: Sequence[Summary]) -> Iterator[str]:
    sorted_: dict[Quality, list[Summary]] = {kind: [] for kind in Quality}
    for s in cells:
        sorted_[quality(s.difference)].append(s)
    if gain := sorted_[Quality.GAIN]:
        yield f"better than full tables beyond noise at {listed(list(map(_gained, gain)))}"
    if unseen := sorted_[Quality.UNSEEN]:
        yield f"no loss to be seen at {listed(list(map(_hidden, unseen)))}"
    if unclear := sorted_[Quality.UNCLEAR]:
        yield f"too noisy to tell at {listed(list(map(_hidden, unclear)))}"
    if loss := sorted_[Quality.LOSS]:
        yield f"a loss beyond noise at {listed(list(map(_gained, loss)))}"
    if unknown := sorted_[Quality.UNKNOWN]:
        yield f"too few seeds to judge at {listed([times(s.cell.compression) for s in unknown])}"


def _hidden(s: Summary) -> str:
    return f"{times(s.cell.compression)} (up to {hidden(s.difference):.4f} AUC could hide)"


def _gained(s: Summary) -> str:
    return f"{times(s.cell.compression)} ({abs(s.difference.mean if s.difference else 0):.4f} AUC)"


def _time(evidence: Evidence) -> Iterator[str]:
    """A sentence per target: where the scales tip."""
    if evidence.full is None or not evidence.measured:
        return
    for target in evidence.study.targets:
        found: dict[Scales, list[Summary]] = {kind: [] for kind in Scales}
        for s in evidence.measured:
            found[scales(evidence, s, target)].append(s)
        yield _scales_told(target, found, evidence.full.iterations[target.text].at_once)


def _scales_told(target: Target, found: dict[Scales, list[Summary]], full_at_once: bool) -> str:
    aim = capital(near(target))
    if found[Scales.UNKNOWN] and not any(found[kind] for kind in (Scales.SOONER, Scales.LATER, Scales.LEVEL)):
        untimed = any(s.step_ratio is None for s in found[Scales.UNKNOWN])
        why = "step time was not measured" if untimed else "full tables did not get there themselves"
        if full_at_once:
            why = "full tables were there at the first evaluation: evaluate more often, or aim higher"
        return f"{aim}: which trains sooner is not known, since {why}."
    if all(not cells or kind is Scales.UNREACHED for kind, cells in found.items()):
        return f"{aim}: no compressed model got there."
    told = [
        f"{labels(s.cell for s in found[kind])} {words}"
        for kind, words in (
            (Scales.SOONER, "trained sooner than full tables"),
            (Scales.LEVEL, "took about as long as full tables"),
            (Scales.LATER, "took longer than full tables"),
            (Scales.UNREACHED, "did not get there"),
        )
        if found[kind]
    ]
    return f"{aim}: {'; '.join(told)}."
