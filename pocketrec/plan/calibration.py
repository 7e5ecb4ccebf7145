"""What a training step takes here, full tables against a shared memory: measured once, kept in the user's cache."""

from __future__ import annotations

import datetime
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pocketrec import files
from pocketrec.errors import UsageError, real_number
from pocketrec.plan.room import tables_that_fit
from pocketrec.plan.setting import Setting

DEFAULT_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What was measured: medians over rounds, and the quartiles of what is compared within a round."""

    date: str
    rows: int
    """Of the full tables that were measured, which may be cut to fit this machine."""
    rounds: int
    full_step_seconds: float
    shared_step_seconds: float
    step_speed_up: float
    """Time of a training step, full / shared."""
    step_speed_up_low: float
    step_speed_up_high: float
    lookup_speed_up: float
    """Time of the embeddings' forward alone, full / shared."""


def read_calibration(setting: Setting) -> Calibration | None:
    """What was measured before, or None; a file that cannot be read is ignored, with a word on stderr."""
    path = setting.path
    try:
        told = files.read_json(path)
        if told["setting"] != json.loads(json.dumps(asdict(setting))):
            raise ValueError("of another setting")
        return _checked(Calibration(**told["calibration"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"pocketrec: ignored the calibration in {path}: {error!r}: measure again", file=sys.stderr)
        return None


def calibrate(setting: Setting, *, seconds: float = DEFAULT_SECONDS, progress: bool = True) -> Calibration:
    """Measure for about so many seconds, and keep it; where the cache cannot be written, a word on stderr says so.

    Raises UsageError for tables of several widths, which the ranker that is timed cannot take, for a memory too large
    to measure here, and for seconds outside (0, 3600].
    """
    from pocketrec.plan.measurement import measure

    real_number("calibrate: seconds", seconds, "(0, 3600]")
    if len({width for _, width in setting.tables}) > 1:
        raise UsageError("calibrate: times a DLRM, which takes tables of one width: leave it out, or give one width")
    tables = tables_that_fit(setting.tables, setting.slots, setting.optimizer)
    rounds = measure(setting, tables, seconds=seconds, progress=progress)
    calibration = _summary(rounds, sum(rows for rows, _ in tables))
    try:
        files.write_json(setting.path, {"setting": asdict(setting), "calibration": asdict(calibration)})
    except OSError as error:
        print(f"pocketrec: the calibration was not kept: {setting.path}: {error.strerror}", file=sys.stderr)
    return calibration


def _summary(rounds: Sequence[tuple[Any, Any]], rows: int) -> Calibration:
    """Ratios are of one round, where a disturbance meets both; the mean would follow the worst of them."""
    speed_ups = [full.step / shared.step for full, shared in rounds]
    low, middle, high = statistics.quantiles(speed_ups, n=4)
    return Calibration(
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        rows=rows,
        rounds=len(rounds),
        full_step_seconds=statistics.median(full.step for full, _ in rounds),
        shared_step_seconds=statistics.median(shared.step for _, shared in rounds),
        step_speed_up=middle,
        step_speed_up_low=low,
        step_speed_up_high=high,
        lookup_speed_up=statistics.median(full.lookup / shared.lookup for full, shared in rounds),
    )


def _checked(calibration: Calibration) -> Calibration:
    """Raises TypeError or ValueError for what no measurement gives."""
    told: dict[str, Any] = asdict(calibration)
    if not isinstance(told.pop("date"), str):
        raise TypeError("date is no text")
    if not all(value > 0 for value in told.values()):
        raise ValueError("a figure that is not above 0")
    return calibration
