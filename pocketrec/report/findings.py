"""What a study's numbers say of each compressed cell, in sentences that claim no more than the intervals allow."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from pocketrec.report.evidence import Evidence, inflation_by_seed, label
from pocketrec.report.words import capital, count, signed, size, times
from pocketrec.study import Interval, Reached, Summary, Target

SAME = 0.02
"""Two times that differ by less than this share are called the same: turns of one benchmark differ as much."""


class Quality(Enum):
    """What the difference to full tables is, by its 95 % interval over paired seeds."""

    LOSS = "loss"
    GAIN = "gain"
    UNSEEN = "unseen"
    """The interval holds 0."""
    UNKNOWN = "unknown"
    """No interval: fewer than two seeds in common."""


def quality(difference: Interval | None) -> Quality:
    """By where the interval lies."""
    if difference is None or difference.low is None or difference.high is None:
        return Quality.UNKNOWN
    if difference.high < 0:
        return Quality.LOSS
    return Quality.GAIN if difference.low > 0 else Quality.UNSEEN


def findings(evidence: Evidence, summary: Summary) -> list[str]:
    """The sentences about one compressed cell."""
    told = [_quality(summary)]
    if summary.test_auc:
        for target in evidence.study.targets:
            told += _iterations(evidence, summary, target)
        told += _step(summary)
    return told


def _quality(s: Summary) -> str:
    who = capital(label(s.cell))
    if s.test_auc is None:
        return f"{who} has no result: {s.error}." if s.error else f"{who} has not finished."
    who = f"{who} ({size(s.stored_bytes or 0)} stored)"
    if s.difference is None:
        return f"{who} reaches a test AUC of {s.test_auc.mean:.4f}; no full tables have finished with its seeds."
    mean, half, seeds = s.difference.mean, s.difference.half_width, count(s.difference.count, "seed")
    match quality(s.difference):
        case Quality.LOSS:
            return f"{who} loses {-mean:.4f} ± {half:.4f} test AUC: more than noise over {seeds}."
        case Quality.GAIN:
            return f"{who} gains {mean:.4f} ± {half:.4f} test AUC: more than noise over {seeds}."
        case Quality.UNSEEN:
            return (
                f"{who} differs by {signed(mean)} ± {half:.4f} test AUC: no more than noise over {seeds}, which could "
                f"hide a loss of up to {-(s.difference.low or 0):.4f}."
            )
    return (
        f"{who} differs by {signed(mean)} test AUC in the one seed that both ran: one seed cannot tell that from noise."
    )


def near(target: Target) -> str:
    """What reaching it is called: `to come within 0.001 of the full tables' validation AUC`."""
    if not target.from_full:
        return f"to reach a validation AUC of {target.value:g}"
    if target.value == 0:
        return "to reach the full tables' validation AUC"
    return f"to come within {-target.value:g} of the full tables' validation AUC"


def _iterations(evidence: Evidence, s: Summary, target: Target) -> Iterator[str]:
    own = s.iterations.get(target.text)
    if own is None or evidence.full is None:
        return
    full = evidence.full.iterations[target.text]
    seeds = f"{own.seeds} of {count(len(own.each), 'seed')}"
    if own.steps is None:
        yield f"It did not manage {near(target)} within its run ({seeds} did)."
    elif own.inflation is None:
        yield f"It took {own.steps:,.0f} iterations {near(target)}; full tables did not get there, so nothing compares."
    else:
        few = "" if own.seeds == len(own.each) else f"; {seeds} got there"
        yield f"It needs {_times_range(own, full, 1)} the iterations {near(target)}{few}{_total(s, own, full)}."


def _times_range(own: Reached, full: Reached, factor: float) -> str:
    """`2.67x (1.9x to 2.7x over seeds)`."""
    each = [ratio * factor for ratio in inflation_by_seed(own, full)]
    told = times((own.inflation or 0) * factor)
    if not each or times(min(each)) == times(max(each)) == told:
        return told
    return f"{told} ({times(min(each))} to {times(max(each))} over seeds)"


def _total(s: Summary, own: Reached, full: Reached) -> str:
    if s.step_ratio is None:
        return ""
    return f"; with its step time, {_times_range(own, full, s.step_ratio)} the training time"


def _step(s: Summary) -> Iterator[str]:
    if s.step_ratio is None:
        return
    if abs(s.step_ratio - 1) < SAME:
        yield f"A training step takes about as long as with full tables ({s.step_ratio:.2f} times)."
    else:
        speed_up = f"a speed-up of {1 / s.step_ratio:.2f}x"
        yield f"A training step takes {s.step_ratio:.2f} times as long as with full tables: {speed_up}."


class Scales(Enum):
    """Which way the scales tip at a target, by every seed that tells."""

    SOONER = "sooner"
    LATER = "later"
    LEVEL = "level"
    """Seeds disagree, or all lie within `SAME` of 1."""
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
    each = [x * s.step_ratio for x in inflation_by_seed(own, evidence.full.iterations[target.text])]
    low, high = min([*each, own.total_time_ratio]), max([*each, own.total_time_ratio])
    if high < 1 - SAME:
        return Scales.SOONER
    return Scales.LATER if low > 1 + SAME else Scales.LEVEL
