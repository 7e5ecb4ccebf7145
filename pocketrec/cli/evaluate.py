"""Measure a trained run on one split of a prepared log."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from pocketrec.cli.show import number, pairs
from pocketrec.files import to_json

EXAMPLE = """example:
  pocketrec evaluate runs/robe-1000x --data prepared --split test
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="RUN", help="a folder written by pocketrec train")
    parser.add_argument(
        "--data",
        required=True,
        metavar="DIR",
        help="the prepared log; ids other than raw need the one it was trained on",
    )
    parser.add_argument("--split", default="test", metavar="train|validation|test", help="which rows (default test)")
    parser.add_argument("--device", metavar="NAME", help="where to compute (default: where it was trained)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> None:
    from pocketrec.data import open_log
    from pocketrec.runs import evaluate_run, open_run

    log = open_log(args.data)
    metrics = evaluate_run(open_run(args.folder, log), log, args.split, args.device)
    if args.json:
        print(to_json(asdict(metrics)))
        return
    rows = [
        ("rows", number(metrics.rows)),
        ("AUC", f"{metrics.auc:.4f}"),
        ("log loss", f"{metrics.log_loss:.4f}"),
        ("calibration", f"{metrics.calibration:.3f} (mean prediction / click rate)"),
        (
            "normalised entropy",
            f"{metrics.normalized_entropy:.4f} (log loss / that of always predicting the click rate)",
        ),
    ]
    rows += [("note", metrics.note)] if metrics.note else []
    print(pairs(f"{args.folder} on {args.split}", rows))
