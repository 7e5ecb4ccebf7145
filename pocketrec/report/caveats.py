"""What a study's numbers do not say: a rule each, and a sentence where it applies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from pocketrec.report import paper
from pocketrec.report.evidence import Evidence, label, labels
from pocketrec.report.words import count, listed, size, times
from pocketrec.study import FULL, Summary
from pocketrec.study.cell import cell_of

FEW_SEEDS = 5
OFF = 0.05
"""A compression that misses the one asked for by more than this share is worth a word."""


def caveats(evidence: Evidence) -> list[str]:
    """Every sentence that applies, the weightiest first."""
    return [sentence for rule in RULES for sentence in rule(evidence)]


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
            yield f"{label(s.cell)}: some runs failed and are left out, which flatters it ({s.error})."
        elif s.error:
            yield f"{label(s.cell)} has no numbers: {s.error}."


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
    rising = [s for s in evidence.summaries if s.finals and all(_ends_at_best(s, i) for i in range(len(s.finals)))]
    if rising:
        names = labels(s.cell for s in rising)
        yield f"Best at the very end of training: {names}. With more epochs, these might get better."


def _ends_at_best(summary: Summary, index: int) -> bool:
    row = summary.finals[index]
    return row["steps"] == row["steps_to_best"] and row["stopped"] != "hopeless"


def _hopeless(evidence: Evidence) -> Iterator[str]:
    stopped = [s for s in evidence.summaries if any(row["stopped"] == "hopeless" for row in s.finals)]
    if stopped:
        yield f"Stopped early as hopeless: {labels(s.cell for s in stopped)}. Run to the end, they might lose less."


def _grid(evidence: Evidence) -> Iterator[str]:
    gaps = [
        b - a for curve in evidence.study.curves.values() for a, b in zip(curve.steps, curve.steps[1:], strict=False)
    ]
    if gaps and evidence.measured:
        yield (
            f"Iterations to a target are read off at evaluations, up to {max(gaps):,} steps apart: they are no finer "
            "than that, and inflation carries it twice."
        )


def _timing(evidence: Evidence) -> Iterator[str]:
    timed = [s for s in evidence.measured if s.step_ratio is not None]
    if evidence.measured and not timed:
        yield "Step time was not measured: nothing here says whether the small model trains faster or sooner."
        return
    if untimed := [s.cell for s in evidence.measured if s.step_ratio is None]:
        yield f"Step time was not measured for {labels(untimed)}."
    trained = {row["machine"] for row in evidence.study.rows}
    if elsewhere := sorted({row["machine"] for row in evidence.study.timing} - trained):
        yield f"Step times come from another machine than the runs: {listed(elsewhere)}."
    if timed:
        machines = listed(sorted({row["machine"] for row in evidence.study.timing}))
        yield f"Step times are of {machines}; another machine, batch size or number of threads gives another ratio."


def _mixed(evidence: Evidence) -> Iterator[str]:
    for column, what in (
        ("machine", "machines"),
        ("version", "versions of pocketrec"),
        ("versions", "sets of libraries"),
    ):
        values = sorted({row[column] for row in evidence.study.rows})
        if len(values) > 1:
            yield f"The runs come from {len(values)} {what}: {'; '.join(values)}."
    if len(data := {row["data"] for row in evidence.study.rows}) > 1:
        yield f"The runs read {len(data)} different logs ({', '.join(sorted(data))}): they do not compare."
    if any(row["commit"].endswith("+") for row in evidence.study.rows):
        yield "Some runs were made by code that differs from its commit (marked +), which alone does not repeat them."


def _budget(evidence: Evidence) -> Iterator[str]:
    for s in evidence.measured:
        reached = s.reached_compression
        if reached is not None and abs(reached / s.cell.compression - 1) > OFF:
            yield f"{label(s.cell)} came out at {times(reached)}."


def _id_maps(evidence: Evidence) -> Iterator[str]:
    heavy = [s for s in evidence.measured if s.id_map_bytes and s.stored_bytes and s.id_map_bytes > s.stored_bytes]
    if heavy:
        told = listed(
            [f"{label(s.cell)} {size(s.id_map_bytes or 0)} beside {size(s.stored_bytes or 0)}" for s in heavy]
        )
        yield f"Id maps weigh more than the embeddings: {told}. The compression does not count them."


def _paper(evidence: Evidence) -> Iterator[str]:
    if not evidence.measured:
        return
    most = max(evidence.compressions)
    less = f", and this study ends at {times(most)}" if most < paper.COMPRESSION else ""
    yield (
        f"The paper's {times(paper.INFLATION)} more iterations and {times(paper.SPEED_UP)} faster steps are for "
        f"Criteo-TB at {times(paper.COMPRESSION)} on its authors' machines{less}: these numbers neither confirm nor "
        "refute them."
    )


RULES: Sequence[Callable[[Evidence], Iterator[str]]] = (
    _synthetic, _unfinished, _failed, _seeds, _same_rows, _many, _tuning, _rising, _hopeless, _grid, _timing, _mixed,
    _budget, _id_maps, _paper,
)  # fmt: skip
