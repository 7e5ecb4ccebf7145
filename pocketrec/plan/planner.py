"""The plan: a workload and a budget in, what to expect out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pocketrec.errors import UsageError, one_of, whole_number
from pocketrec.plan.budget import Budget, budget
from pocketrec.plan.calibration import Calibration, calibrate, read_calibration
from pocketrec.plan.chunks import Chunk, advice, advised, chunks
from pocketrec.plan.collisions import Loads, TablePlan, loads, table_plans
from pocketrec.plan.device import Fit, fit
from pocketrec.plan.inflation import Inflation, predicted_inflation
from pocketrec.plan.memory import Memory, full_memory, shared_memory
from pocketrec.plan.setting import Setting
from pocketrec.plan.sizes import device_bytes
from pocketrec.plan.workload import Workload

BATCH_SIZE = 2048
"""Of the paper's scripts, and of `pocketrec train`."""
SHARINGS = ("robe", "hashednets")
"""Schemes whose tables share one memory chunk by chunk, of which the theory speaks; HashedNets has chunks of 1."""


@dataclass(frozen=True)
class TotalTime:
    """Iteration inflation / step speed-up: below 1, the shared memory also trains sooner."""

    predicted: float
    low: float
    high: float


@dataclass(frozen=True)
class Plan:
    """Everything that can be said beforehand. `as_dict()` is what `pocketrec plan --json` prints."""

    workload: str
    rows_are: str
    frequencies_are: str
    num_tables: int
    num_rows: int
    num_parameters: int
    """Of the full tables."""
    examples: int | None
    """Of an epoch, where that is known."""
    sharing: str
    chunk_size: int
    """Z that collisions and times are of: what was asked for, or the one advised."""
    budget: Budget
    full: Memory
    shared: Memory
    batch_size: int
    compression_min_count: float | None
    """Against full tables of the values seen often enough; None where that is not known."""
    compression_with_id_maps: float
    """With a vocabulary beside the full tables, and a filter beside the memory."""
    loads: Loads
    tables: tuple[TablePlan, ...]
    chunks: tuple[Chunk, ...]
    advice: tuple[str, ...]
    inflation: Inflation
    optimizer: str
    """Of the calibration."""
    calibration: Calibration | None
    """What was measured on this machine; None where that was not done for just this."""
    total_time: TotalTime | None
    device: Fit | None

    def as_dict(self) -> dict[str, Any]:
        """Plain types only."""
        return asdict(self)


def plan(
    workload: Workload,
    *,
    compression: float | None = None,
    memory_bytes: int | None = None,
    epsilon: float | None = None,
    device: str | None = None,
    sharing: str = "robe",
    chunk_size: int | None = None,
    optimizer: str = "adagrad",
    batch_size: int = BATCH_SIZE,
    calibrate_seconds: float | None = None,
    progress: bool = True,
) -> Plan:
    """What to expect of one memory for these tables. A calibration of just this, made before on this machine, is used.

    Args:
        workload: see `preset`, `parse_tables` and `log_workload`.
        compression, memory_bytes, epsilon: one of them; none of them where a device is given, which then decides.
        device: what training and serving should fit on: a name, `here`, or a size such as `24GB`.
        sharing: `robe` or `hashednets`.
        chunk_size: Z; the one advised unless given.
        optimizer, batch_size: of the calibration; a batch also bounds the row-sparse gradient.
        calibrate_seconds: measure first, for about so long, with a progress line unless told otherwise.

    Raises:
        UsageError: what `budget` or `calibrate` refuses; an unknown name; a number below 1.
    """
    one_of("sharing", sharing, SHARINGS)
    whole_number("batch_size", batch_size, at_least=1)
    room = None if device is None else device_bytes(device)
    given = budget(workload, compression=compression, memory_bytes=memory_bytes, epsilon=epsilon, device_bytes=room)
    widest, largest = max(workload.widths), max(table.num_embeddings for table in workload.tables)
    chunk = _chunk_size(widest, sharing, chunk_size, advised(widest, given.slots, largest))
    full, shared = full_memory(workload, batch_size), shared_memory(workload, given.slots)
    setting = Setting.here(workload.sizes, given.slots, sharing, chunk, optimizer=optimizer, batch_size=batch_size)
    if calibrate_seconds is None:
        calibration = read_calibration(setting)
    else:
        calibration = calibrate(setting, seconds=calibrate_seconds, progress=progress)
    inflation, kept = predicted_inflation(given.compression), workload.kept_rows
    return Plan(
        workload=workload.name,
        rows_are=workload.rows_are,
        frequencies_are=workload.frequencies_are,
        num_tables=len(workload.tables),
        num_rows=workload.num_rows,
        num_parameters=workload.num_elements,
        examples=workload.examples,
        sharing=sharing,
        chunk_size=chunk,
        budget=given,
        full=full,
        shared=shared,
        batch_size=batch_size,
        compression_min_count=None if kept is None else given.compression * kept / workload.num_rows,
        compression_with_id_maps=(full.weights + full.id_map) / (shared.weights + shared.id_map),
        loads=loads(workload, given.slots),
        tables=table_plans(workload, given.slots, chunk),
        chunks=chunks(widest, given.slots, largest),
        advice=advice(widest, given.slots, largest),
        inflation=inflation,
        optimizer=optimizer,
        calibration=calibration,
        total_time=None if calibration is None else _total_time(inflation, calibration),
        device=None if device is None or room is None else fit(device, room, full, shared),
    )


def _chunk_size(widest: int, sharing: str, asked: int | None, advised: int) -> int:
    if sharing == "hashednets":
        if asked not in (None, 1):
            raise UsageError(f"chunk_size: sharing 'hashednets' places every element alone: leave it out, got {asked}")
        return 1
    return advised if asked is None else min(whole_number("chunk_size", asked, at_least=1), widest)


def _total_time(inflation: Inflation, calibration: Calibration) -> TotalTime:
    """The interval takes the worst of both, and the best."""
    return TotalTime(
        inflation.predicted / calibration.step_speed_up,
        inflation.low / calibration.step_speed_up_high,
        inflation.high / calibration.step_speed_up_low,
    )
