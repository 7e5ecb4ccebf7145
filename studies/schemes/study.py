"""All schemes x {10x, 100x, 1000x} on Book-Crossing, tuned alike: a part of the rows, then all, then three seeds.

    python studies/schemes/study.py LOG.tsv.gz WORK [--jobs 2] [--only ROBE,"low rank"]
    python studies/schemes/study.py LOG.tsv.gz WORK --timing

LOG is Book-Crossing in Criteo's layout (studies/book_crossing/README.md), WORK a scratch folder. Each run is one row of
`results.csv`; the same command does what is missing. `--timing` then measures the step of every method at what was
chosen for it, on a machine that does nothing else, into `timing.csv`. `tables.py` turns both into the README's table.
"""

from __future__ import annotations

import argparse
import gzip
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import islice
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path += [str(ROOT), str(ROOT / "benchmarks")]

import record  # noqa: E402

from pocketrec.data import open_log, prepare  # noqa: E402
from pocketrec.files import atomic_path  # noqa: E402
from pocketrec.runs.build import informative_features  # noqa: E402
from studies.schemes import cells, step_time  # noqa: E402
from studies.trials import WHOLE, read_rows, run_planned  # noqa: E402

RESULTS, TIMING = HERE / "results.csv", HERE / "timing.csv"
PARTS = 4
"""The part of the rows for the first round is one in so many."""


def main() -> None:
    """Prepare both logs once, then every cell that is not done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="methods whose names begin so, comma-separated; all unless given")
    parser.add_argument("--timing", action="store_true", help="measure steps instead, with 2 threads")
    options = parser.parse_args()
    folders = prepared(options.log, options.work)
    about = {
        "date": record.today(),
        "commit": record.commit(),
        "machine": record.machine(),
        "versions": record.versions(),
    }
    if options.timing:
        step_time.measure_missing(read_rows(RESULTS), folders[WHOLE], TIMING, about)
        return
    methods = [m for m in cells.EVERY if m.name.startswith(tuple(options.only.split(",")))]
    logs = {name: Counted(folder) for name, folder in folders.items()}
    run_planned(lambda rows: cells.plan(rows, logs, methods), folders, RESULTS, about, options.jobs)


def prepared(log: Path, work: Path) -> dict[str, Path]:
    """The folders of the whole log and of its first part, whose splits are parts of the same splits of the whole."""
    work.mkdir(parents=True, exist_ok=True)
    part = work / f"{cells.PART}.tsv"
    if not part.exists():
        with _lines(log) as lines:
            count = sum(1 for _ in lines)
        with _lines(log) as lines, atomic_path(part) as path, open(path, "wb") as out:
            out.writelines(islice(lines, count // PARTS))
    folders = {WHOLE: work / WHOLE, cells.PART: work / cells.PART}
    prepare(log, folders[WHOLE])
    prepare(part, folders[cells.PART])
    return folders


@contextmanager
def _lines(log: Path) -> Iterator[Iterable[bytes]]:
    with gzip.open(log) if log.suffix == ".gz" else open(log, "rb") as lines:
        yield lines


class Counted:
    """How many values a prepared log has that were seen so often."""

    def __init__(self, folder: Path) -> None:
        log = open_log(folder, progress=False)
        features = informative_features(log.manifest)
        self.seen = sum(log.manifest.cardinalities[i] for i in features)

        @cache
        def rows(min_count: int) -> int:
            kept = log.kept_ids(min_count)
            return sum(len(kept[i]) + 1 for i in features)

        self.rows = rows


if __name__ == "__main__":
    main()
