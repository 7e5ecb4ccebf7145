"""What iterations and step times do not say."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from pocketrec.report.evidence import Evidence, label, labels
from pocketrec.report.words import listed
from pocketrec.study.turns import DISTURBED


def _ways(evidence: Evidence) -> Iterator[str]:
    full = evidence.full
    others = [s for s in evidence.measured if full and s.way != full.way]
    if full and others:
        told = listed([f"{label(s.cell)} by {s.way}" for s in others])
        yield (
            "Each model was trained in the way that was best on validation, not in the one soonest at a target: "
            f"full tables by {full.way}, {told}. Iterations compare these ways too."
        )


def _grid(evidence: Evidence) -> Iterator[str]:
    gaps = [b - a for curve in evidence.study.curves.values() for a, b in pairwise(curve.steps)]
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
    conditions = sorted({row["conditions"] for row in evidence.study.timing})
    if disturbed := [told for told in conditions if told.startswith(DISTURBED)]:
        yield f"Step times are rough: other work ran beside them ({'; '.join(disturbed)})."
    if timed:
        machines = listed(sorted({row["machine"] for row in evidence.study.timing}))
        yield (
            f"Step times are of {machines}, on batches already in memory: reading the log is not in them, and another "
            "machine, batch size or number of threads gives another ratio."
        )


RULES = (_ways, _grid, _timing)
