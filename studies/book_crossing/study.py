"""The Book-Crossing study: full tables, ROBE, the hashing trick, tuned alike; which hash, width and ids suit ROBE.

    python studies/book_crossing/study.py LOG.tsv.gz WORK [--jobs 2] [--only full,ROBE]

LOG is Book-Crossing in Criteo's layout (README beside this file), WORK a scratch folder. Each run is one row of
`results.csv`; the same command does what is missing. `tables.py` turns the rows into the README's tables and figure.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path += [str(ROOT), str(ROOT / "benchmarks")]

import record  # noqa: E402

from pocketrec.data import prepare  # noqa: E402
from studies.book_crossing import cells  # noqa: E402
from studies.trials import WHOLE, Trial, best_settings, read_rows, run_missing  # noqa: E402

RESULTS = HERE / "results.csv"


def main() -> None:
    """Prepare once, then every phase that is not done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="cells whose names begin so, comma-separated; all unless given")
    options = parser.parse_args()
    data = options.work / "prepared"
    prepare(options.log, data)
    wanted = tuple(options.only.split(","))
    about = {
        "date": record.today(),
        "commit": record.commit(),
        "machine": record.machine(),
        "versions": record.versions(),
    }
    for phase in (tuning, finals, arms, equal_bytes, inits):
        trials = [trial for trial in phase() if trial.cell.startswith(wanted)]
        run_missing(trials, {WHOLE: data}, RESULTS, about, options.jobs)


def tuning() -> Iterator[Trial]:
    """Every trial of every cell, one seed."""
    for cell, trials in cells.TUNED.items():
        yield from (Trial("tuning", cell, settings, cells.TUNING_SEED) for settings in trials)


def finals() -> Iterator[Trial]:
    """The best trial of each cell on validation, all seeds."""
    rows = read_rows(RESULTS)
    for cell in cells.TUNED:
        settings = best_settings(rows, cell)
        if settings is not None:
            yield from (Trial("final", cell, settings, seed) for seed in cells.SEEDS)


def arms() -> Iterator[Trial]:
    """Hash x width x ids at 100x."""
    for hash_, width, ids in _arms():
        yield from (
            Trial("arms", cells.arm_name(hash_, width, ids), cells.arm(hash_, width, ids), s) for s in cells.SEEDS
        )


def equal_bytes() -> Iterator[Trial]:
    """The wide raw and filtered arms with the bytes of the vocabulary arm, id map included."""
    rows = read_rows(RESULTS)
    for hash_, width, ids in _arms():
        sizes = {name: _bytes(rows, cells.arm_name(hash_, width, name)) for name in ("vocabulary", ids)}
        if ids == "vocabulary" or width != max(cells.WIDTHS) or None in sizes.values():
            continue
        (memory, id_map), (_, own_map) = sizes["vocabulary"] or (0, 0), sizes[ids] or (0, 0)
        settings = cells.arm_of_equal_bytes(hash_, width, ids, (memory + id_map - own_map) // 4)
        cell = f"{cells.arm_name(hash_, width, ids)}, equal bytes"
        yield from (Trial("equal bytes", cell, settings, seed) for seed in cells.SEEDS)


def inits() -> Iterator[Trial]:
    """Other initial values, one seed, beside the arm that starts from the default."""
    for init in cells.INITS:
        yield Trial("inits", f"init {init}", cells.init_arm(init), cells.TUNING_SEED)


def _arms() -> Iterator[tuple[str, int, str]]:
    for width in sorted(cells.WIDTHS, reverse=True):
        for hash_ in cells.HASHES:
            for ids in cells.IDS:
                yield hash_, width, ids


def _bytes(rows: list[dict[str, str]], cell: str) -> tuple[int, int] | None:
    """(memory, id map) of a cell's runs."""
    return next(((int(r["stored_bytes"]), int(r["id_map_bytes"])) for r in rows if r["cell"] == cell), None)


if __name__ == "__main__":
    main()
