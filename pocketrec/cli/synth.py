"""Write a synthetic click log in Criteo's layout, from a click model whose best possible AUC is known.

Ids are heavy-tailed; clicks are drawn from logits planted on the ids and numbers, so that embeddings have much to learn
and no model can beat the printed AUC but by luck. A --preset imitates the column sizes and the click rate of a public
log, nothing else.
"""

from __future__ import annotations

import argparse

from pocketrec.cli.show import number, pairs

EXAMPLE = """examples:
  pocketrec synth --rows 1000000 --distinct-ids 500000 --out clicks.tsv
  pocketrec synth --preset criteo-kaggle --scale 0.1 --rows 4584062 --out twin.tsv
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=int, default=1_000_000, metavar="N", help="lines to write (default 1000000)")
    parser.add_argument(
        "--distinct-ids",
        type=int,
        metavar="N",
        help="distinct values over all 26 columns, about (default 100000)",
    )
    parser.add_argument(
        "--preset",
        metavar="criteo-kaggle|criteo-tb",
        help="instead of --distinct-ids: in as many rows as the real log has, about as many values of each column "
        "occur (33,762,577 in 45,840,617 rows; 204,184,588 in 4,373,472,329); fewer rows show fewer",
    )
    parser.add_argument(
        "--scale",
        type=float,
        metavar="X",
        help="of a preset, in (0, 1]: columns of more than 1000 values have X times as many, at least 1000 (default 1)",
    )
    parser.add_argument(
        "--click-rate", type=float, metavar="X", help="share of clicks (default 0.25; criteo-kaggle 0.256, -tb 0.03)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="0 to 2^62 - 1; the same seed writes the same file (default 0)"
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="a new .tsv, .txt or .gz file")


def run(args: argparse.Namespace) -> None:
    from pocketrec.data import synthesize

    report = synthesize(
        args.out,
        rows=args.rows,
        distinct_ids=args.distinct_ids,
        preset=args.preset,
        scale=args.scale,
        seed=args.seed,
        click_rate=args.click_rate,
    )
    told = [
        ("rows", number(report.rows)),
        ("distinct values", f"{number(report.distinct_ids)} of {number(report.existing_ids)} that exist"),
        ("click rate", f"{report.click_rate:.4f}"),
        ("best possible AUC", f"{report.best_auc:.4f} (of the true probabilities on these clicks)"),
    ]
    print(pairs(args.out, told))
