"""Runs that are not alike, budgets that came out otherwise, and what the paper says of something else."""

from __future__ import annotations

from collections.abc import Iterator

from pocketrec.report import paper
from pocketrec.report.evidence import Evidence, label
from pocketrec.report.words import capital, listed, size, times

OFF = 0.05
"""A compression that misses the one asked for by more than this share is worth a word."""


def _mixed(evidence: Evidence) -> Iterator[str]:
    columns = {"machine": "machines", "version": "versions of pocketrec", "versions": "sets of libraries"}
    for column, what in columns.items():
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
            yield f"{capital(label(s.cell))} came out at {times(reached)}."


def _id_maps(evidence: Evidence) -> Iterator[str]:
    heavy = [s for s in evidence.measured if s.id_map_bytes and s.stored_bytes and s.id_map_bytes > s.stored_bytes]
    if heavy:
        told = [f"{label(s.cell)} {size(s.id_map_bytes or 0)} beside {size(s.stored_bytes or 0)}" for s in heavy]
        yield f"Id maps weigh more than the embeddings: {listed(told)}. The compression does not count them."


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


RULES = (_mixed, _budget, _id_maps, _paper)
