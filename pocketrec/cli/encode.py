"""Encode a trained run's full tables in a hundredth or a thousandth of the bytes, without training again.

RUN was trained with --sharing full, best with --ids ranked: then rows that training saw often get more bits. RUN2
receives config.json, model.pt and metrics.json, and is for inference: pocketrec evaluate and info open it as any run.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from pocketrec.cli.show import number, pairs, ratio, size
from pocketrec.cli.train import option

EXAMPLE = """example:
  pocketrec train --data prepared --sharing full --ids ranked --out runs/full
  pocketrec encode runs/full --data prepared --compression 1000 --out runs/full-1000x
"""
HINT = (
    "{} has ids {!r}: all rows of a table get as many bits. Trained with --ids ranked, rows seen often would get more, "
    "at the same bytes"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="RUN", help="a folder written by pocketrec train --sharing full")
    parser.add_argument("--data", required=True, metavar="DIR", help="the prepared log that it was trained on")
    parser.add_argument("--out", required=True, metavar="RUN2", help="a new folder")
    parser.add_argument(
        "--compression", type=float, required=True, metavar="X", help="full bytes / stored bytes, as in training"
    )
    parser.add_argument(
        "--with",
        action="append",
        type=option,
        dest="options",
        default=[],
        metavar="NAME=VALUE",
        help="an option of TransformCoding: alpha=0.75, max-bits=4, ratio=2; may be repeated",
    )


def run(args: argparse.Namespace) -> None:
    from pathlib import Path

    from pocketrec.data import open_log
    from pocketrec.runs import encode_run, read_config

    ids = read_config(Path(args.folder))["run"].get("ids")
    metrics = encode_run(
        open_log(args.data), args.folder, args.out, compression=args.compression, options=dict(args.options)
    )
    if ids != "ranked":
        print(HINT.format(args.folder, ids), file=sys.stderr)
    print(summary(args.out, metrics))


def summary(title: str, metrics: dict[str, Any]) -> str:
    """What became of the model, beside what it was."""
    rows = []
    for label, name in (("validation AUC", "best_validation_auc"), ("test AUC", "test_auc")):
        now, before = metrics.get(name), metrics.get(f"full_{name}")
        if now is not None:
            rows.append((label, f"{now:.4f}" + ("" if before is None else f", with full tables {before:.4f}")))
    stored, full = size(metrics["stored_bytes"]), size(metrics["full_stored_bytes"])
    rows.append(
        ("stored", f"{stored}, trained with {full}; {ratio(metrics['compression'])} by the preset's full tables")
    )
    with_map = ratio(metrics["compression_with_id_map"])
    rows.append(("id map", f"{size(metrics['id_map_bytes'])}; counted on both sides: {with_map}"))
    rows.append(("time", f"{metrics['seconds']:.1f} s to encode"))
    rows.append(("speed", f"{number(round(metrics['samples_per_second']))} samples/s scored"))
    return pairs(title, rows)
