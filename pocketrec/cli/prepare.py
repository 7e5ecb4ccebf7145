"""Read raw click logs once and write the arrays that training reads.

Each FILE becomes one shard; memory stays flat as files grow. Killed half-way, the same command goes on where it was.

A blank is the value 0: in an integer column the id 0 and a blank are one value. Values seen in training fewer than
--min-count times, and values not seen there at all, share row 0 of their vocabulary. With --on-bad-row skip, rows that
break a rule are left out and counted by rule in manifest.json; the others stay in the split they would have been in
(a split by time is cut among the rows that are left).
"""

from __future__ import annotations

import argparse

from pocketrec.cli.show import number, pairs

EXAMPLE = """examples:
  pocketrec prepare day_0.gz day_1.gz --format criteo --out prepared
  pocketrec prepare clicks.csv --format csv --label click --dense age,price --categorical user,item --out prepared
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="raw logs: .tsv, .txt, .csv (also .gz), .parquet")
    parser.add_argument(
        "--format",
        default="criteo",
        metavar="criteo|csv|parquet",
        help="criteo: label, 13 integers, 26 hex values, tabs, no header (default)",
    )
    parser.add_argument("--label", metavar="COLUMN", help="csv, parquet: the 0/1 column")
    parser.add_argument(
        "--dense", default="", metavar="COLUMNS", help="csv, parquet: numeric columns, comma-separated; a blank is 0"
    )
    parser.add_argument(
        "--categorical",
        default="",
        metavar="COLUMNS",
        help="csv, parquet: id columns, comma-separated; a blank is the value 0",
    )
    parser.add_argument(
        "--text", default="", metavar="COLUMNS", help="id columns that are text even if they look like numbers"
    )
    parser.add_argument("--separator", metavar="CHAR", help="csv: a comma unless given; \\t for tab")
    parser.add_argument(
        "--split",
        default="8/1/1",
        metavar="RULE",
        help="8/1/1: train/validation/test by row number (default); file: the last file tests, the one before "
        "validates; 'train=a,b;validation=c;test=d'; time: by --time-column",
    )
    parser.add_argument("--time-column", metavar="COLUMN", help="csv, parquet: what --split time orders by")
    parser.add_argument(
        "--min-count",
        type=int,
        default=2,
        metavar="N",
        help="times a value must be seen in training to get a row of its own; others share row 0 (default 2)",
    )
    parser.add_argument(
        "--on-bad-row",
        default="stop",
        metavar="stop|skip",
        help="stop at the first bad row (default), or leave bad rows out and count them by rule",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="threads; all processors unless given")
    parser.add_argument("--out", required=True, metavar="DIR", help="a new or empty folder")


def run(args: argparse.Namespace) -> None:
    from pocketrec.data import prepare

    manifest = prepare(
        args.files,
        args.out,
        format=args.format,
        label=args.label,
        dense=_names(args.dense),
        categorical=_names(args.categorical),
        text=_names(args.text),
        separator="\t" if args.separator == "\\t" else args.separator,
        split=args.split,
        time_column=args.time_column,
        min_count=args.min_count,
        on_bad_row=args.on_bad_row,
        workers=args.workers,
    )
    told = [(f"{split} rows", number(rows)) for split, rows in manifest.rows.items()]
    told.append(("distinct values", number(sum(manifest.cardinalities))))
    told.append((f"seen {manifest.min_count}+ times", number(sum(manifest.kept))))
    told += [(f"skipped: {rule}", number(rows)) for rule, rows in manifest.skipped.items()]
    print(pairs(args.out, told))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
