"""What a study's numbers say of each compressed cell, in sentences that claim no more than the intervals allow."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from pocketrec.report.evidence import Evidence, inflation_bounds, inflation_by_seed
from pocketrec.report.words import count, signed, size, times
from pocketrec.study import Interval, Reached, Summary, Target

SAME = 0.02
"""Two times that differ by less than this share are called the same: turns of one benchmark differ as much."""


MATTERS = 0.005
"""A loss of test AUC that nobody would call small: where it is not ruled out, "no loss to be seen" would mislead."""


class Quality(Enum):
    """What the difference to full tables is, by its 95 % interval over paired seeds."""

    LOSS = "loss"
    GAIN = "gain"
    UNSEEN = "unseen"
    """The interval holds 0, and no loss beyond `MATTERS`."""
    UNCLEAR = "unclear"
    """The interval holds 0, and losses that would matter."""
    UNKNOWN = "unknown"
    """No interval: fewer than two seeds in common."""


def quality(difference: Interval | None) -> Quality:
    """By where the interval lies."""
    if difference is None or difference.low is None or difference.high is None:
        return Quality.UNKNOWN
    if difference.high < 0:
        return Quality.LOSS
    if difference.low > 0:
        return Quality.GAIN
    return Quality.UNSEEN if difference.low >= -MATTERS else Quality.UNCLEAR


def findings(evidence: Evidence, summary: Summary) -> list[str]:
    """The sentences about one compressed cell; the first one goes on from its name."""
    told = [_quality(summary)]
    if summary.test_auc:
        told += [_iterations(evidence, summary, target) for target in evidence.study.targets]
        told += [_not_reached(summary, evidence.study.targets), _step(summary)]
    return [sentence for sentence in told if sentence]


def _quality(s: Summary) -> str:
    if s.test_auc is None:
        return f"has no result: {s.error}." if s.error else "has not finished."
    stored = f"({size(s.stored_bytes or 0)} stored)"
    if s.difference is None:
        return f"{stored} reaches a test AUC of {s.test_auc.mean:.4f}; no full tables have finished with its seeds."
    mean, half, seeds = s.difference.mean, s.difference.half_width, count(s.difference.count, "seed")
    match quality(s.difference):
        case Quality.LOSS:
            return f"{stored} loses {-mean:.4f} ± {half:.4f} test AUC: more than noise over {seeds}."
        case Quality.GAIN:
            return f"{stored} gains {mean:.4f} ± {half:.4f} test AUC: more than noise over {seeds}."
        case Quality.UNSEEN | Quality.UNCLEAR:
            return (
                f"{stored} differs by {signed(mean)} ± {half:.4f} test AUC: no more than noise over {seeds}, which "
                f"could hide a loss of up to {hidden(s.difference):.4f}."
            )
    return f"{stored} differs by {signed(mean)} test AUC in the one seed both ran, which cannot tell that from noise."


def hidden(difference: Interval | None) -> float:
    """The largest loss that the interval does not rule out."""
    return max(0.0, -(difference.low or 0.0)) if difference else 0.0


def near(target: Target) -> str:
    """What reaching it is called: `to come within 0.001 of the full tables' validation AUC`."""
    if not target.from_full:
        return f"to reach a validation AUC of {target.value:g}"
    if target.value == 0:
        return "to reach the full tables' validation AUC"
    return f"to come within {-target.value:g} of the full tables' validation AUC"


def _iterations(evidence: Evidence, s: Summary, target: Target) -> str:
    own = s.iterations.get(target.text)
    if own is None or own.steps is None or evidence.full is None:
        return ""
    if own.inflation is None:
        told = "do by their first evaluation" if evidence.full.iterations[target.text].at_once else "do not"
        return f"Gets {_place(target)} after {own.steps:,.0f} iterations; full tables {told}, so nothing compares."
    few = "" if own.seeds == len(own.each) else f"; {_seeds(own)} got there"
    time = "" if s.step_ratio is None else f", {times(own.inflation * s.step_ratio)} the training time"
    inflation = _over_seeds(own, evidence.full.iterations[target.text])
    return f"Gets {_place(target)} after {inflation} the iterations{time}{few}."


def _not_reached(s: Summary, targets: Sequence[Target]) -> str:
    missed = [(t, own) for t in targets if (own := s.iterations.get(t.text)) and own.steps is None]
    told = " or ".join(f"{_place(target)} ({_seeds(own)} did)" for target, own in missed)
    return f"In its run it does not get {told}." if told else ""


def _seeds(own: Reached) -> str:
    return f"{own.seeds} of {count(len(own.each), 'seed')}"


def _place(target: Target) -> str:
    """`within 0.001`: of the full tables' validation AUC, as the page says once."""
    if not target.from_full:
        return f"to {target.value:g}"
    return f"within {-target.value:g}" if target.value else "as far as full tables"


def _over_seeds(own: Reached, full: Reached) -> str:
    """`2.67x (1.9x to 2.7x over seeds)`."""
    each = inflation_by_seed(own, full)
    told = times(own.inflation or 0)
    if not each or times(min(each)) == times(max(each)) == told:
        return told
    return f"{told} ({times(min(each))} to {times(max(each))} over seeds)"


def _step(s: Summary) -> str:
    if s.step_ratio is None:
        return ""
    if abs(s.step_ratio - 1) < SAME:
        return f"A step takes about as long as with full tables ({s.step_ratio:.2f} times)."
    return f"A step takes {s.step_ratio:.2f} times as long as with full tables, a speed-up of {1 / s.step_ratio:.2f}x."


class Scales(Enum):
    """Which way the scales tip at a target, by every seed that tells and whatever lies between two evaluations."""

    SOONER = "sooner"
    LATER = "later"
    LEVEL = "level"
    """Within `SAME` of 1, or on either side of it, as far as seeds and evaluations tell."""
    UNREACHED = "unreached"
    UNKNOWN = "unknown"
    """Step time was not measured, or full tables did not get there."""


def scales(evidence: Evidence, s: Summary, target: Target) -> Scales:
    """Total time to the target against that of full tables."""
    own = s.iterations.get(target.text)
    if own is None or evidence.full is None:
        return Scales.UNKNOWN
    if own.steps is None:
        return Scales.UNREACHED
    if own.total_time_ratio is None or s.step_ratio is None:
        return Scales.UNKNOWN
    low, high = inflation_bounds(own, evidence.full.iterations[target.text])
    if high * s.step_ratio < 1 - SAME:
        return Scales.SOONER
    return Scales.LATER if low * s.step_ratio > 1 + SAME else Scales.LEVEL
