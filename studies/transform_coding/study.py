"""Full tables of Book-Crossing, trained, then encoded at 10x to 10,000x without training again.

    python studies/transform_coding/study.py LOG.tsv.gz WORK [--only D64,...]

LOG is Book-Crossing in Criteo's layout (studies/book_crossing/README.md), WORK a scratch folder, in which the trained
runs stay. Each encoding is one row of `results.csv`; the same command does what is missing. `--table` prints the means.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path += [str(ROOT), str(ROOT / "benchmarks")]

import record  # noqa: E402

from pocketrec.cli.show import table  # noqa: E402
from pocketrec.data import ClickLog, open_log, prepare  # noqa: E402
from pocketrec.runs import encode_run, train_run  # noqa: E402
from pocketrec.runs.flags import config_from  # noqa: E402
from studies.trials import append, read_rows  # noqa: E402

RESULTS = HERE / "results.csv"
_TRAINED = {
    "sharing": "full",
    "ids": "ranked",
    "optimizer": "adagrad",
    "embedding_learning_rate": 0.02,
    "dense_learning_rate": 0.03,
    "epochs": 1,
    "decay": "none",
    "threads": 1,
}
CELLS: dict[str, dict[str, Any]] = {
    "D64": {"embedding_dim": 64},
    "D64, no book or title": {"embedding_dim": 64, "without": ("cat_1", "cat_2")},
    "D128": {"embedding_dim": 128},
}
COMPRESSIONS = (10, 100, 1000, 10_000)
SEEDS = (0, 1, 2)
MEASURED = (
    "best_validation_auc", "test_auc", "test_log_loss",
    "full_best_validation_auc", "full_test_auc", "full_test_log_loss",
    "stored_bytes", "full_stored_bytes", "id_map_bytes", "compression", "compression_with_id_map", "seconds",
)  # fmt: skip
COLUMNS = ("date", "commit", "machine", "versions", "cell", "seed", "asked", *MEASURED)


def main() -> None:
    """Prepare once, train each cell and seed once, encode what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path, nargs="?")
    parser.add_argument("work", type=Path, nargs="?")
    parser.add_argument("--only", default="", help="cells whose names begin so, comma-separated; all unless given")
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    parser.add_argument("--table", action="store_true", help="print what the rows say, and run nothing")
    options = parser.parse_args()
    if options.table:
        print(summary(read_rows(RESULTS)))
        return
    prepare(options.log, options.work / "prepared")
    log = open_log(options.work / "prepared", progress=False)
    about = {name: getattr(record, name)() for name in ("commit", "machine", "versions")} | {"date": record.today()}
    for cell in [name for name in CELLS if name.startswith(tuple(options.only.split(",")))]:
        for seed in options.seeds:
            _encode_missing(log, options.work, cell, seed, about)


def _encode_missing(log: ClickLog, work: Path, cell: str, seed: int, about: Mapping[str, str]) -> None:
    done = {int(row["asked"]) for row in read_rows(RESULTS) if (row["cell"], row["seed"]) == (cell, str(seed))}
    missing = [x for x in COMPRESSIONS if x not in done]
    if not missing:
        return
    source = work / f"{cell.replace(', ', '_').replace(' ', '_')}_s{seed}"
    train_run(log, config_from({**_TRAINED, **CELLS[cell], "seed": seed}), source, resume=True)
    for x in missing:
        with tempfile.TemporaryDirectory() as folder:
            metrics = encode_run(log, source, Path(folder) / "run", compression=x, progress=False)
        row = {name: _short(metrics[name]) for name in MEASURED}
        append(RESULTS, {**about, "cell": cell, "seed": seed, "asked": x, **row}, COLUMNS)
        print(f"{cell}, seed {seed}, {x}x: validation {row['best_validation_auc']}", file=sys.stderr, flush=True)


def summary(rows: list[dict[str, str]]) -> str:
    """A line a cell and compression: mean and standard deviation over seeds."""
    groups = defaultdict(list)
    for row in rows:
        groups[row["cell"], int(row["asked"])].append(row)
    lines = [
        (
            f"{cell}, {asked:,}x",
            str(len(own)),
            *(_spread(own, name) for name in ("best_validation_auc", "test_auc", "full_test_auc")),
            _spread(own, "test_auc", "full_test_auc"),
            f"{int(own[0]['stored_bytes']):,}",
            f"{float(own[0]['compression_with_id_map']):.3g}x",
        )
        for (cell, asked), own in sorted(groups.items(), key=lambda item: (list(CELLS).index(item[0][0]), item[0][1]))
    ]
    headers = ("tables", "seeds", "validation AUC", "test AUC", "full tables'", "difference", "bytes", "with id maps")
    return table(headers, lines)


def _spread(rows: list[dict[str, str]], name: str, less: str | None = None) -> str:
    values = [float(row[name]) - (float(row[less]) if less else 0) for row in rows]
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values) if len(values) > 1 else 0:.4f}"


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


if __name__ == "__main__":
    main()
