"""The page's tables: cells in numbers, how each was trained, every run, and the rows of a GPU benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pocketrec.report.evidence import Evidence, label
from pocketrec.report.looks import name_of
from pocketrec.report.words import NONE, capital, signed, size, times
from pocketrec.study import Interval, Reached, Summary
from pocketrec.study.rows import Row


@dataclass(frozen=True)
class Table:
    """Text by row; the first column names it."""

    caption: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: frozenset[int] = frozenset()
    """Set to the left, others to the right."""


def in_numbers(evidence: Evidence) -> Table:
    """A row per cell."""
    targets = [target.text for target in evidence.study.targets]
    headers = [
        "model", "stored", "with id map", "test AUC", "difference to full", "iterations to best",
        *(head for text in targets for head in (f"iterations to {text}", "inflation", "total-time ratio")),
        "step", "step speed-up",
    ]  # fmt: skip
    rows = [
        [
            capital(label(s.cell)),
            _size(s.stored_bytes),
            _with_id_map(s, evidence.full),
            _auc(s.test_auc),
            NONE if s.difference is None else _difference(s.difference),
            f"{s.steps_to_best.mean:,.0f}" if s.steps_to_best else NONE,
            *(told for text in targets for told in _reached(s.iterations.get(text))),
            f"{s.step_ms:.1f} ms" if s.step_ms else NONE,
            _ratio(s.step_speed_up),
        ]
        for s in evidence.summaries
    ]
    return Table(
        "Means over seeds ± half of the 95 % interval; iterations to a target are medians over seeds.", headers, rows
    )


def _size(value: int | None) -> str:
    return NONE if value is None else size(value)


def _with_id_map(s: Summary, full: Summary | None) -> str:
    """Compression with id maps counted on both sides."""
    if full is None or None in (s.stored_bytes, s.id_map_bytes, full.full_bytes, full.id_map_bytes):
        return NONE
    return times(((full.full_bytes or 0) + (full.id_map_bytes or 0)) / ((s.stored_bytes or 0) + (s.id_map_bytes or 0)))


def _auc(auc: Interval | None) -> str:
    if auc is None:
        return NONE
    return f"{auc.mean:.4f}" + ("" if auc.half_width is None else f" ± {auc.half_width:.4f}")


def _difference(difference: Interval) -> str:
    half = difference.half_width
    return signed(difference.mean) + ("" if half is None else f" ± {half:.4f}")


def _reached(reached: Reached | None) -> tuple[str, str, str]:
    if reached is None:
        return NONE, NONE, NONE
    steps = f"{reached.steps:,.0f}" if reached.steps else f"never ({reached.seeds} of {len(reached.each)})"
    return steps, _ratio(reached.inflation), _ratio(reached.total_time_ratio)


def _ratio(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}x"


OWN_FLAGS = ("model", "preset", "sharing", "compression")


def how_trained(evidence: Evidence) -> Table:
    """The way that validation picked for each cell."""
    rows = []
    for s in evidence.summaries:
        flags = {name: value for name, value in s.settings.items() if name not in OWN_FLAGS}
        told = ", ".join(f"{name} {value}" for name, value in flags.items())
        rows.append([capital(label(s.cell)), s.way or NONE, told or NONE])
    headers = ["model", "way", "flags of pocketrec train"]
    return Table("Of all ways tried with the first seed, the best on validation.", headers, rows, frozenset({1, 2}))


RUN_HEADERS = (
    "model", "phase", "way", "seed", "validation AUC", "test AUC", "log loss", "calibration", "steps", "steps to best",
    "seconds", "stopped", "stored", "peak memory", "date", "version", "commit", "machine", "libraries", "note",
)  # fmt: skip


def every_run(evidence: Evidence) -> Table:
    """A row per row of `results.csv`."""
    text = frozenset({1, 2, 11, 14, 15, 16, 17, 18, 19})
    return Table("Every row of results.csv.", RUN_HEADERS, [_run(row) for row in evidence.study.rows], text)


def _run(row: Row) -> list[str]:
    model = name_of(row["scheme"])
    at = "" if row["scheme"] == "full" else f" at {times(float(row['compression']))}"
    told = [
        capital(model) + at, row["phase"], row["way"], row["seed"],
        *(_number(row[name], "{:.4f}") for name in ("best_validation_auc", "test_auc", "test_log_loss")),
        _number(row["test_calibration"], "{:.3f}"),
        *(_number(row[name], "{:,.0f}") for name in ("steps", "steps_to_best")),
        _number(row["seconds"], "{:,.1f}"),
        row["stopped"],
        *(size(float(row[name])) if row[name] else "" for name in ("stored_bytes", "peak_memory_bytes")),
        *(row[name] for name in ("date", "version", "commit", "machine", "versions", "error")),
    ]  # fmt: skip
    return [each or NONE for each in told]


def _number(text: str, form: str) -> str:
    return form.format(float(text)) if text else ""
