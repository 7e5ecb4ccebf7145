"""What the differences in AUC do not say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pocketrec.report.evidence import Evidence, label, labels
from pocketrec.report.words import capital, count, listed
from pocketrec.study import FULL, Summary
from pocketrec.study.cell import cell_of

FEW_SEEDS = 5


def _synthetic(evidence: Evidence) -> Iterator[str]:
    if evidence.synthetic:
        yield (
            "The clicks are synthetic, drawn from odds that we made up: how fast quality drops depends on them. "
            "Only a real log says what your log would lose."
        )


def _unfinished(evidence: Evidence) -> Iterator[str]:
    if evidence.full is None:
        yield "Full tables have not finished, so nothing is compared yet."
    if missing := evidence.unfinished:
        cells = listed([f"{label(cell)} ({done} of {count(seeds, 'seed')})" for cell, done, seeds in missing])
        yield f"The study is not finished. Still to come: {cells}."


def _failed(evidence: Evidence) -> Iterator[str]:
    for s in evidence.summaries:
        if s.error and s.test_auc:
            yield f"{capital(label(s.cell))}: some runs failed and are left out, which flatters it ({s.error})."
        elif s.error:
            yield f"{capital(label(s.cell))} has no numbers: {s.error}."


def _seeds(evidence: Evidence) -> Iterator[str]:
    seeds = {s.test_auc.count for s in evidence.summaries if s.test_auc}
    if seeds and min(seeds) == 1:
        yield "Some cells ran with one seed only. Without a second one nothing says how much of a difference is noise."
    elif seeds and min(seeds) < FEW_SEEDS:
        yield (
            f"{count(min(seeds), 'seed')} are few: the 95 % intervals (Student's t, paired by seed) hold only if "
            "differences between seeds are about normal."
        )


def _same_rows(evidence: Evidence) -> Iterator[str]:
    if evidence.measured:
        yield (
            "All seeds are tested on the same rows. The intervals tell how training varies, not how another test set, "
            "another month or another log would come out."
        )


def _many(evidence: Evidence) -> Iterator[str]:
    compared = sum(s.difference is not None and s.difference.half_width is not None for s in evidence.measured)
    if compared >= 5:
        yield f"There are {compared} intervals of 95 %; each misses once in twenty times, so one of them may mislead."


def _tuning(evidence: Evidence) -> Iterator[str]:
    tried = Counter(cell_of(row) for row in evidence.study.rows if row["phase"] == "tuning")
    uneven = [s for s in evidence.measured if tried[s.cell] != tried[FULL]]
    if uneven:
        told = listed([f"{label(s.cell)} with {tried[s.cell]}" for s in uneven])
        yield f"Tuning was uneven: full tables were tuned with {count(tried[FULL], 'trial')}, {told}."


def _rising(evidence: Evidence) -> Iterator[str]:
    rising = [s for s in evidence.summaries if s.finals and _best_at_the_end(s) and not _ran_longer(evidence, s)]
    if rising:
        names = labels(s.cell for s in rising)
        yield f"Best at the very end of training, and never trained longer: {names}. More epochs might do better."


def _best_at_the_end(summary: Summary) -> bool:
    return all(row["steps"] == row["steps_to_best"] for row in summary.finals)


def _ran_longer(evidence: Evidence, summary: Summary) -> bool:
    """Whether some tuning run of the cell went on for more steps than its finals: more epochs were tried, and lost."""
    tried = [row for row in evidence.study.rows if cell_of(row) == summary.cell and row["steps"]]
    return max(float(row["steps"]) for row in tried) > max(float(row["steps"]) for row in summary.finals)


def _hopeless(evidence: Evidence) -> Iterator[str]:
    given_up = [row for row in evidence.study.rows if row["stopped"] == "hopeless"]
    if given_up:
        cells = labels(dict.fromkeys(cell_of(row) for row in given_up))
        yield f"Given up early while tuning: {count(len(given_up), 'run')} of {cells}. One might have caught up."


RULES = (_synthetic, _unfinished, _failed, _seeds, _same_rows, _many, _tuning, _rising, _hopeless)
