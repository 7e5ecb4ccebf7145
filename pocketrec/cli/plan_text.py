"""A plan as a page to read: what it is of, bytes, collisions, choices, time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from pocketrec.cli.show import number, pairs, ratio, size, table

if TYPE_CHECKING:
    from pocketrec.plan import Plan
    from pocketrec.plan.calibration import Calibration
    from pocketrec.plan.collisions import TablePlan

COLUMNS, LARGEST = 110, 8
_NAMES = {"sgd": "SGD", "adagrad": "Adagrad", "adam": "Adam"}


def page(plan: Plan) -> str:
    """Everything, for a terminal of about 110 columns."""
    title = (
        f"{plan.workload} at {ratio(plan.budget.compression)}: {size(plan.full.weights)} in {size(plan.shared.weights)}"
    )
    parts = [pairs(title, _about(plan), COLUMNS), _bytes(plan), pairs("compression", _compression(plan), COLUMNS)]
    parts += [_collisions(plan), _chunks(plan), pairs("advice", zip(("Z", "D"), plan.advice, strict=True), COLUMNS)]
    parts.append(pairs("time to each model's own best", _time(plan), COLUMNS))
    if plan.device is not None:
        device = f"on {plan.device.device} ({size(plan.device.bytes)}), embeddings alone"
        parts.append(pairs(device, _device(plan), COLUMNS))
    return "\n\n".join(parts)


def _about(plan: Plan) -> Iterator[tuple[str, str]]:
    widths = sorted({t.embedding_dim for t in plan.tables})
    width = f"x {widths[0]}" if len(widths) == 1 else f"of D = {widths[0]} to {widths[-1]}"
    many = plan.num_parameters >= 1e9
    parameters = f"{plan.num_parameters / 1e9:.3g} billion" if many else number(plan.num_parameters)
    yield "tables", f"{plan.num_tables}, of {number(plan.num_rows)} rows {width} in all: {parameters} parameters"
    yield "rows", plan.rows_are
    yield "frequencies", plan.frequencies_are
    slots = f"{number(plan.budget.slots)} slots ({plan.budget.given}), {plan.budget.slots_a_row:.3g} a row"
    yield "memory", f"{slots}; a slot serves {_count(plan.loads.mean)} elements of the tables"
    reach = "no epsilon below 1" if plan.budget.epsilon is None else f"epsilon = {plan.budget.epsilon:.2g}"
    yield (
        "theory",
        f"{reach} for a sketch of this size (Johnson-Lindenstrauss; every inner product of two columns within epsilon "
        "|x||y|, 95 %): about storing given tables, not about what training finds",
    )


def _bytes(plan: Plan) -> str:
    full, shared = plan.full, plan.shared
    rows = [("weights", size(full.weights), size(shared.weights))]
    rows.append(("gradient, dense", size(full.gradient), size(shared.gradient)))
    rows.append((f"gradient, row-sparse, batch {plan.batch_size}", f"<= {size(full.row_sparse_gradient or 0)}", "-"))
    rows += [(f"state of {_NAMES[o]}", size(full.optimizer[o]), size(shared.optimizer[o])) for o in ("adagrad", "adam")]
    rows += [(f"training with {_NAMES[o]}", size(full.training[o]), size(shared.training[o])) for o in _NAMES]
    return table(("bytes", "full tables", "shared memory"), rows)


def _compression(plan: Plan) -> Iterator[tuple[str, str]]:
    raw = (plan.full.weights + plan.full.id_map) / plan.shared.weights
    yield "of every value's row", ratio(plan.budget.compression)
    if plan.compression_min_count is not None:
        yield "of min-count tables", f"{ratio(plan.compression_min_count)} (values seen rarely share a row there)"
    yield (
        "with id maps",
        f"{ratio(plan.compression_with_id_maps)} where full tables need a vocabulary ({size(plan.full.id_map)}) and "
        f"the memory a filter ({size(plan.shared.id_map)}); {ratio(raw)} on raw ids, which need none",
    )


def _collisions(plan: Plan) -> str:
    by_size = sorted(plan.tables, key=lambda t: -t.num_embeddings * t.embedding_dim)
    shown = by_size if len(by_size) <= LARGEST + 1 else by_size[:LARGEST]
    rows = [_met(t.name, [t]) for t in shown]
    if rest := by_size[len(shown) :]:
        rows.append(_met(f"{len(rest)} smaller, mean", rest))
    return table(("collisions", "rows", "reads that meet another", "others' lookups / own", "own share"), rows)


def _met(name: str, tables: Sequence[TablePlan]) -> tuple[str, ...]:
    """Averages over tables: an example looks into each once."""
    return (
        name,
        number(round(fmean(t.num_embeddings for t in tables))),
        f"{100 * fmean(t.collision_mass for t in tables):.3g} %",
        f"{fmean(t.interference for t in tables):.3g}",
        f"{100 * fmean(t.own_share for t in tables):.3g} %",
    )


def _chunks(plan: Plan) -> str:
    rows = [
        (
            f"Z = {c.chunk_size}",
            number(c.hashes),
            f"{c.lines:.3g}",
            _percent(c.variance),
            _percent(c.twins),
        )
        for c in plan.chunks
    ]
    return table(("chunks of a row", "hashes", "cache lines", "variance of a row", "ids with a twin"), rows)


def _percent(part: float) -> str:
    if part and part < 1e-4:
        return "< 0.01 %"
    return f"{100 * part:.0f} %" if part >= 0.995 else f"{100 * part:.2g} %"


def _time(plan: Plan) -> Iterator[tuple[str, str]]:
    expected = plan.inflation
    beyond = "; beyond 100x runs here were still rising when they ended" if expected.extrapolated else ""
    yield "iterations", f"{_range(expected.predicted, expected.low, expected.high)} those of full tables{beyond}"
    yield "", expected.basis
    yield (
        "theory",
        f"for full gradients, steps at most {_count(plan.loads.largest)} times smaller (the fullest slot's load); "
        f"chosen anew, at most {_times(plan.loads.retuned_inflation)} the iterations, to the memory's own optimum. The "
        "rule above does not follow from it: it is a line through runs",
    )
    if plan.calibration is None:
        yield "step time", "not measured here for just these tables and memory: add --calibrate (about 30 seconds)"
    else:
        yield from _measured(plan, plan.calibration)


def _measured(plan: Plan, found: Calibration) -> Iterator[tuple[str, str]]:
    yield (
        "step speed-up",
        f"{_range(found.step_speed_up, found.step_speed_up_low, found.step_speed_up_high)}, full / shared (the middle "
        f"half of {found.rounds} rounds, {found.date}); of a lookup alone {_times(found.lookup_speed_up)}",
    )
    cut = f"tables cut to {number(found.rows)} rows (whole ones may gain more from sharing)"
    tables = "whole tables" if found.rows == plan.num_rows else cut
    full, shared = (number(round(plan.batch_size / s)) for s in (found.full_step_seconds, found.shared_step_seconds))
    steps = f"steps of DLRM on CPU with {_NAMES[plan.optimizer]}, batch {plan.batch_size}, {tables}"
    yield "", f"{full} and {shared} examples/s in full and shared: {steps}"
    if plan.examples is not None:
        both = (found.full_step_seconds, found.shared_step_seconds)
        full, shared = (_hours(plan.examples / plan.batch_size * seconds) for seconds in both)
        yield "an epoch", f"{full} in full, {shared} shared: {number(plan.examples)} examples at that speed"
    if plan.total_time is not None:
        total = _range(plan.total_time.predicted, plan.total_time.low, plan.total_time.high)
        yield "total time", f"{total} that of full tables: iterations / step speed-up, and the extremes of both"


def _hours(seconds: float) -> str:
    """9000 -> 2.5 hours."""
    units = (("days", 86400), ("hours", 3600), ("minutes", 60), ("seconds", 1))
    unit, many = next(((name, size) for name, size in units if seconds >= 2 * size), units[-1])
    amount = seconds / many
    return f"{number(round(amount)) if amount >= 10 else f'{amount:.2g}'} {unit}"


def _count(value: float) -> str:
    return number(round(value)) if value >= 100 else f"{value:.3g}"


def _times(value: float) -> str:
    return ratio(value) if value >= 10 else f"{value:.2g}x"


def _range(value: float, low: float, high: float) -> str:
    return f"{_times(value)} ({_times(low)} to {_times(high)})"


def _device(plan: Plan) -> Iterator[tuple[str, str]]:
    assert plan.device is not None
    fits = plan.device
    both = (
        ("full tables", fits.full_serves, fits.full_trains),
        ("shared memory", fits.shared_serves, fits.shared_trains),
    )
    for name, serves, trains in both:
        trained = [_NAMES[o] for o, fit in trains.items() if fit]
        told = f"trains with {', '.join(trained)}" if trained else "does not train"
        yield name, f"{'serves' if serves else 'does not fit'}; {told}"
