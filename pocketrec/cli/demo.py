"""Show it all on a synthetic log: full tables and a 100 times smaller shared memory, side by side.

Writes a click log, prepares it, trains both models, then prints a table and draws a figure. Takes a few minutes;
stopped half-way, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from pocketrec.cli.show import number, ratio, size, table
from pocketrec.errors import UsageError

EXAMPLE = """example:
  pocketrec demo --out demo
"""
ROWS, DISTINCT_IDS = 400_000, 200_000
SHARINGS: tuple[dict[str, Any], ...] = ({"sharing": "full"}, {"sharing": "robe", "compression": 100.0})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="demo", metavar="DIR", help="where to write everything (default demo)")
    parser.add_argument("--rows", type=int, default=ROWS, metavar="N", help=f"size of the log (default {ROWS})")


def run(args: argparse.Namespace) -> None:
    from pocketrec.data import open_log
    from pocketrec.report import read_finished
    from pocketrec.runs import train_run
    from pocketrec.runs.flags import config_from

    out = Path(args.out)
    known = {"clicks.tsv", "clicks.json", "prepared", "comparison.png", *(s["sharing"] for s in SHARINGS)}
    if out.exists() and (not out.is_dir() or {p.name for p in out.iterdir() if p.name[0] != "."} - known):
        raise UsageError(f"{out}: exists and holds something that is not a demo: choose another --out")
    best_auc = _prepared_log(out, args.rows)
    log = open_log(out / "prepared")
    for number_, sharing in enumerate(SHARINGS, 3):
        name = _name(sharing)
        _say(f"{number_}/4 training a DLRM with {name}")
        folder = out / str(sharing["sharing"])
        train_run(log, config_from(sharing), folder, resume=(folder / "config.json").exists())
    runs = [read_finished(_name(s), out / str(s["sharing"])) for s in SHARINGS]
    print(_table(runs))
    print(
        f"\nNo model can reach a test AUC above about {best_auc:.4f} on this log: its clicks are drawn from known odds."
    )
    _draw(runs, out / "comparison.png", best_auc)
    print(f"Next: pocketrec train --data {out / 'prepared'} --compression 1000 --out {out.parent / 'robe-1000x'}")


def _prepared_log(out: Path, rows: int) -> float:
    """Write and prepare the log, unless that was done; returns the best possible AUC."""
    from dataclasses import asdict

    from pocketrec.data import prepare, synthesize
    from pocketrec.files import read_json, write_json

    raw, report = out / "clicks.tsv", out / "clicks.json"
    if report.exists() and read_json(report)["rows"] != rows:
        raise UsageError(f"{out}: holds a demo of {read_json(report)['rows']} rows, not {rows}: choose another --out")
    if not report.exists():
        _say(f"1/4 writing a click log of {number(rows)} rows")
        out.mkdir(parents=True, exist_ok=True)
        raw.unlink(missing_ok=True)
        write_json(report, asdict(synthesize(raw, rows=rows, distinct_ids=DISTINCT_IDS)))
    _say("2/4 preparing it: pocketrec prepare " + str(raw))
    prepare(raw, out / "prepared")
    return float(read_json(report)["expected_auc"])


def _name(sharing: dict[str, Any]) -> str:
    return f"ROBE, {sharing['compression']:g}x smaller" if "compression" in sharing else "full tables"


def _table(runs: Any) -> str:
    headers = ("embeddings", "stored", "compression", "test AUC", "test log loss", "steps to best", "samples/s")
    rows = []
    for each in runs:
        m = each.metrics
        rows.append(
            (
                each.name,
                size(m["stored_bytes"]),
                ratio(m["compression"]),
                f"{m['test_auc']:.4f}",
                f"{m['test_log_loss']:.4f}",
                number(m["steps_to_best"]),
                number(round(m["samples_per_second"])),
            )
        )
    return "\n" + table(headers, rows)


def _draw(runs: Any, path: Path, best_auc: float) -> None:
    from pocketrec.report import draw_comparison

    try:
        draw_comparison(runs, path, title="DLRM on a synthetic click log", best_auc=best_auc)
        print(f"Figure: {path}")
    except UsageError as error:
        print(f"No figure: {error}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
