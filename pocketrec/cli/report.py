"""Turn a study into one page: a verdict in plain words, figures, and every run.

Writes `report.html`, which needs no network, and `figures/` (PNG and SVG) into the study's folder. A study that is not
finished gets a report of what there is.
"""

from __future__ import annotations

import argparse

EXAMPLE = """example:
  pocketrec report studies/tradeoff/book_crossing
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="a folder written by pocketrec study")
    parser.add_argument("--gpu-rows", metavar="FILE", help="also show the rows that benchmarks/gpu.py wrote there")


def run(args: argparse.Namespace) -> None:
    from pathlib import Path

    from pocketrec.report.verdict import verdict
    from pocketrec.report.write import PAGE, write_report

    told = verdict(write_report(args.folder, args.gpu_rows))
    print("\n".join(told.headline))
    print(f"\nReport: {Path(args.folder) / PAGE}")
