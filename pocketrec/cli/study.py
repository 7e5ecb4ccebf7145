"""Decide on your own log: full tables beside smaller ones, tuned alike, over several seeds.

Trains the full tables and every scheme at every compression: each way to train once (one far behind the best of its
cell is given up), then the best on validation with every seed; then times their steps in turns. DIR receives
study.toml, results.csv (a row per finished run), timing.csv, features.csv and runs/. Stopped at any moment, the same
command goes on; pocketrec report DIR shows what came of it.

FILE is TOML, such as the study.toml of another study; flags come before it. Beside the flags' names it knows [flags],
flags of pocketrec train for all runs, [flags_of.robe] for those of one scheme, and [[ways]] to train. Targets are
validation AUCs: 0.80, or full-0.001, so much below what full tables reach.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from pocketrec.cli.show import number, ratio, size, table

EXAMPLE = """examples:
  pocketrec study --data prepared --compressions 10,100,1000 --out study
  pocketrec study --data prepared --schemes robe,hashing-trick --targets full-0.001,0.80 --out study
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", metavar="DIR", help="a folder written by pocketrec prepare")
    parser.add_argument("--out", required=True, metavar="DIR", help="a new folder, or that of the same study")
    parser.add_argument("--config", metavar="FILE", help="settings as TOML; flags come before it")
    parser.add_argument("--model", metavar="WORD", help="the ranker (default dlrm)")
    parser.add_argument("--preset", metavar="kaggle|terabyte", help="layer sizes (default kaggle)")
    parser.add_argument("--schemes", type=_list(str), metavar="WORD,WORD", help="beside full tables (default robe)")
    parser.add_argument("--compressions", type=_list(float), metavar="X,X", help="default 10,100,1000")
    parser.add_argument("--seeds", type=int, metavar="N", help="finals of each cell (default 3)")
    parser.add_argument("--epochs", type=int, metavar="N", help="passes over the training rows, at most")
    parser.add_argument("--targets", type=_list(str), metavar="AUC,AUC", help="default full-0.001")
    parser.add_argument("--jobs", type=int, metavar="N", help="runs side by side, a thread each (default: all cores)")


def run(args: argparse.Namespace) -> None:
    from pocketrec.study import load_config, run_study

    given = {name: value for name, value in vars(args).items() if name not in ("run", "out", "config")}
    study = run_study(load_config(args.out, args.config, given))
    print(cells_table(study))
    print(f"\nNext: pocketrec report {args.out}")


def cells_table(study: Any) -> str:
    """A line per cell that has finals; below, why the others have none."""
    target = study.targets[0].text
    headers = (
        "cell",
        "stored",
        "test AUC",
        "- full",
        "way",
        f"steps to {target}",
        "inflation",
        "step",
        "total time",
    )
    summaries = study.summaries()
    lines = [table(headers, [_line(summary, target) for summary in summaries if summary.test_auc])]
    return "\n".join(lines + [f"{summary.cell.name}: {summary.error}" for summary in summaries if summary.error])


def _line(summary: Any, target: str) -> tuple[str, ...]:
    reached = summary.iterations.get(target)
    steps = reached and ("not reached" if reached.steps is None else number(round(reached.steps)))
    return (
        summary.cell.name,
        size(summary.stored_bytes),
        _told(summary.test_auc, "{:.4f}"),
        _told(summary.difference, "{:+.4f}"),
        summary.way,
        steps or "",
        _ratio(reached and reached.inflation),
        _ratio(summary.step_ratio),
        _ratio(reached and reached.total_time_ratio),
    )


def _ratio(value: float | None) -> str:
    return "" if value is None else ratio(value)


def _told(interval: Any, form: str) -> str:
    """`0.8027 ± 0.0011`."""
    if interval is None:
        return ""
    spread = "" if interval.half_width is None else f" ± {interval.half_width:.4f}"
    return form.format(interval.mean) + spread


def _list(kind: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    def parse(text: str) -> tuple[Any, ...]:
        return tuple(kind(each.strip()) for each in text.split(",") if each.strip())

    # argparse names it where a value is no such list.
    parse.__name__ = "comma-separated list"
    return parse
