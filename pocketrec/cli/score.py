"""Score the rows of a click log with an artifact: one probability a row. Needs no PyTorch.

Reads what `pocketrec prepare` reads: Criteo's lines, CSV or Parquet, .gz too, with the columns that the model was
trained on; labels may be missing or blank, and where there are some, AUC is measured. Writes .parquet or .csv: `row`,
the place of the row in the file from 0, and `score`. Memory stays flat as files grow. Killed half-way, the same command
goes on where it was.

A model scores any values. What share of them it learned is told in the end, and of which columns it knows next to none:
those of a log with its columns in another order, or with ids made in another way.
"""

from __future__ import annotations

import argparse
import math
import sys
import time

from pocketrec.cli.show import number, pairs

EXAMPLE = """examples:
  pocketrec score robe.pocket --in day_23.gz --out scores.parquet
  pocketrec score shop.pocket --in clicks.csv --label clicked --out scores.csv
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifact", metavar="ARTIFACT", help="a file written by pocketrec export")
    parser.add_argument("--in", dest="log", required=True, metavar="FILE", help="the log: .tsv, .csv (.gz), .parquet")
    parser.add_argument("--out", required=True, metavar="FILE", help="a new .parquet or .csv file")
    parser.add_argument(
        "--format", metavar="criteo|csv|parquet", help="of the log (default: what its name and the model's columns say)"
    )
    parser.add_argument("--label", metavar="COLUMN", help="csv, parquet: the 0/1 column, if there is one")
    parser.add_argument("--separator", metavar="CHAR", help="csv: a comma unless given; \\t for tab")
    parser.add_argument(
        "--on-bad-row", default="stop", metavar="stop|skip", help="stop at the first bad row (default), or leave it out"
    )
    parser.add_argument(
        "--engine",
        default="auto",
        metavar="auto|native|onnx",
        help="what computes (default: onnx where onnxruntime is installed)",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="threads; all processors unless given")


def run(args: argparse.Namespace) -> None:
    from pocketrec.runtime import score_file

    started = time.perf_counter()
    try:
        report = score_file(
            args.artifact,
            args.log,
            args.out,
            format=args.format,
            label=args.label,
            separator=args.separator,
            on_bad_row=args.on_bad_row,
            engine=args.engine,
            workers=args.workers,
        )
    except KeyboardInterrupt:
        print(
            "pocketrec: what is finished, but for the last seconds, is kept: the same command goes on", file=sys.stderr
        )
        raise
    told = [("rows scored", number(report.rows))]
    told += [(f"skipped: {rule}", number(rows)) for rule, rows in report.skipped.items()]
    if not math.isnan(report.known):
        told.append(("known values", f"{report.known:.1%} (of a sample, blanks aside)"))
    if report.labelled:
        told.append(("AUC", f"{report.auc:.4f} (on {number(report.labelled)} rows with a label)"))
    speed = number(round(report.fresh / (time.perf_counter() - started)))
    earlier = f" (without {number(report.rows - report.fresh)} scored earlier)" if report.fresh < report.rows else ""
    told.append(("speed", f"{speed} rows/s{earlier}"))
    print(pairs(args.out, told))
    if report.strange:
        print(
            f"pocketrec: of {', '.join(report.strange)} the model knows next to no value: values that hardly recur, or "
            "columns in another order, or ids made in another way",
            file=sys.stderr,
        )
