"""What a smaller model costs in time: iterations to quality, the step, and the two together, against compression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pocketrec.report import paper
from pocketrec.report.evidence import Evidence, inflation_by_seed, label
from pocketrec.report.figures.canvas import HEIGHT, Picture, handles_of, legend
from pocketrec.report.figures.ratios import Line, Point, draw_ratios
from pocketrec.report.words import listed, times
from pocketrec.study import Summary, Target

PANEL = 2.4
"""Inches that each further target adds."""
MISSING_TARGET = "there is no target that full tables reached and compressed models were run for"
ITERATIONS = (
    "Optimiser steps until validation AUC first reaches the target, divided by those of full tables: median over "
    f"seeds, with the range over seeds. Hollow: most seeds never got there. {paper.MARK}"
)
STEP = (
    "Time of a training step of full tables divided by the compressed model's, measured in turns. Above 1 the small "
    f"model steps faster. {paper.MARK}"
)
TOTAL = (
    "Iteration inflation divided by step speed-up: time to the target against that of full tables. Below 1, in grey, "
    "the small model trains sooner too. Hollow: most seeds never got there. "
    f"{paper.MARK[:-1]}: {paper.INFLATION} / {paper.SPEED_UP}."
)
Lines = Mapping[str, Line]


def iterations(evidence: Evidence) -> Picture:
    """Iterations to quality."""
    panels = {t: _inflation(evidence, t.text, total=False) for t in evidence.study.targets}
    draw = partial(_draw, evidence, "iteration inflation", paper.INFLATION, False)
    return _picture("iterations", "How many more iterations", ITERATIONS, panels, draw, MISSING_TARGET)


def total_time(evidence: Evidence) -> Picture:
    """Where the scales tip."""
    panels = {t: _inflation(evidence, t.text, total=True) for t in evidence.study.targets}
    draw = partial(_draw, evidence, "total-time ratio", paper.TOTAL_TIME, True)
    missing = MISSING_TARGET if any(s.step_ratio for s in evidence.compressed) else "step time was not measured"
    return _picture("total-time", "Where the scales tip", TOTAL, panels, draw, missing)


def step_speed_up(evidence: Evidence) -> Picture:
    """The step itself."""
    lines = {
        scheme: Line([Point(s.cell.compression, x, x, x) for s in evidence.of_scheme(scheme) if (x := s.step_speed_up)])
        for scheme in evidence.looks
    }
    draw = partial(_draw, evidence, "step speed-up", paper.SPEED_UP, False)
    return _picture("step-speed-up", "How fast a step is", STEP, {None: lines}, draw, "step time was not measured")


def told_target(target: Target) -> str:
    """`0.001 below the full tables' AUC`."""
    if not target.from_full:
        return f"a validation AUC of {target.value:g}"
    return "the full tables' AUC" if target.value == 0 else f"{-target.value:g} below the full tables' AUC"


def _inflation(evidence: Evidence, text: str, *, total: bool) -> Lines:
    return {
        scheme: _line([s for s in evidence.of_scheme(scheme) if text in s.iterations], evidence.full, text, total)
        for scheme in evidence.looks
    }


def _line(cells: Sequence[Summary], full: Summary | None, text: str, total: bool) -> Line:
    reached = full.iterations.get(text) if full else None
    if reached is None or reached.steps is None:
        return Line([])
    points, never = [], []
    for s in cells:
        own, factor = s.iterations[text], s.step_ratio if total else 1.0
        if factor is not None and own.inflation:
            each = [*inflation_by_seed(own, reached), own.inflation]
            points.append(Point(s.cell.compression, own.inflation * factor, min(each) * factor, max(each) * factor))
        elif own.steps is None and factor is not None:
            never.append(s.cell.compression)
    return Line(points, never)


def _picture(
    stem: str, title: str, caption: str, panels: Mapping[Any, Lines], draw: Any, missing: str
) -> Picture:  # fmt: skip
    panels = {target: lines for target, lines in panels.items() if _has_marks(lines)}
    if not panels:
        return Picture(stem, title, caption, missing=missing)
    told = [_alternative(target, lines) for target, lines in panels.items()]
    return Picture(stem, title, caption, " ".join(told), partial(draw, panels), HEIGHT + PANEL * (len(panels) - 1))


def _has_marks(lines: Lines) -> bool:
    return any(line.points or line.never for line in lines.values())


def _alternative(target: Target | None, lines: Lines) -> str:
    from pocketrec.study import Cell

    cells = [
        f"{label(Cell(scheme, p.compression))} {times(p.ratio)}" for scheme, line in lines.items() for p in line.points
    ]
    never = [label(Cell(scheme, x)) for scheme, line in lines.items() for x in line.never]
    told = "; ".join([*cells, *([f"never: {listed(never)}"] if never else [])])
    return f"To {told_target(target)}: {told}." if target else f"{told}."


def _draw(
    evidence: Evidence, axis: str, star: float, shade: bool, panels: Mapping[Target | None, Lines], figure: Any
) -> None:  # fmt: skip
    all_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (target, lines) in zip(all_axes, panels.items(), strict=True):
        draw_ratios(axes, lines, evidence.looks, star, shade_below_one=shade)
        axes.set_ylabel(axis)
        if target:
            axes.set_title(f"to {told_target(target)}", pad=9)
        if axes is not all_axes[-1]:
            axes.set_xlabel("")
    legend(figure, handles_of(all_axes))
