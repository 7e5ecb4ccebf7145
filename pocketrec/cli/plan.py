"""Say beforehand what sharing these tables costs and brings: memory, collisions, iterations, time.

Tables come from the preset of a public log, a prepared folder (with its own frequencies) or the command line; the
memory from a compression, a size, or the error that a sketch of that size may make. Nothing is trained. What is
measured on this machine (with --calibrate; kept in your cache folder), measured on other logs, derived or assumed is
told apart.
"""

from __future__ import annotations

import argparse
from typing import Any

from pocketrec.errors import UsageError

EXAMPLE = """examples:
  pocketrec plan --preset criteo-tb --compression 10000              # the paper's case: 100 GB in 10 MB
  pocketrec plan --data prepared --memory 10MB --calibrate           # my log, my machine: is it worth it?
  pocketrec plan --tables 40000000x64,5000x64 --epsilon 0.1 --json   # any tables; for a script
"""
SECONDS = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    tables = parser.add_argument_group("tables (one of)")
    tables.add_argument("--preset", metavar="NAME", help="criteo-kaggle (33.8 M rows x 16) or criteo-tb (204 M x 128)")
    tables.add_argument("--data", metavar="DIR", help="a folder written by pocketrec prepare: its values and counts")
    tables.add_argument("--tables", metavar="N1xD,N2xD", help="rows x width of each, such as 1000000x16,5000x16")
    budget = parser.add_argument_group("budget (one of; none with --device: the largest memory that trains there)")
    budget.add_argument("--compression", type=float, metavar="X", help="full bytes / memory bytes, such as 10000")
    budget.add_argument("--memory", metavar="SIZE", help="of the memory: 10MB, 1.5GiB")
    budget.add_argument(
        "--epsilon",
        type=float,
        metavar="E",
        help="the additive error of inner products that a sketch as large may make, in (0, 1)",
    )
    more = parser.add_argument_group("more")
    more.add_argument(
        "--device", metavar="NAME|SIZE", help="what should fit there: here, t4, a100-80gb, h100, ... or 24GB"
    )
    more.add_argument(
        "--embedding-dim", type=int, metavar="D", help="with --preset or --data: width of the full tables"
    )
    more.add_argument("--sharing", default="robe", metavar="WORD", help="robe (default) or hashednets")
    more.add_argument("--chunk-size", type=int, metavar="Z", help="robe: slots copied at once (default: as advised)")
    more.add_argument(
        "--calibrate",
        type=float,
        nargs="?",
        const=SECONDS,
        metavar="SECONDS",
        help=f"measure training steps on this machine first, for about {SECONDS:g} seconds; kept and used from then on",
    )
    more.add_argument("--optimizer", default="adagrad", metavar="NAME", help="that calibrates: adagrad, adam or sgd")
    more.add_argument("--batch-size", type=int, default=2048, metavar="N", help="examples a step (default 2048)")
    more.add_argument("--json", action="store_true", help="print everything as JSON")


def run(args: argparse.Namespace) -> None:
    from pocketrec.cli.plan_text import page
    from pocketrec.files import to_json
    from pocketrec.plan import parse_bytes, plan

    told = plan(
        _workload(args),
        compression=args.compression,
        memory_bytes=None if args.memory is None else parse_bytes("memory", args.memory),
        epsilon=args.epsilon,
        device=args.device,
        sharing=args.sharing,
        chunk_size=args.chunk_size,
        optimizer=args.optimizer,
        batch_size=args.batch_size,
        calibrate_seconds=args.calibrate,
    )
    print(to_json(told.as_dict()) if args.json else page(told))


def _workload(args: argparse.Namespace) -> Any:
    from pocketrec.errors import whole_number
    from pocketrec.plan import log_workload, parse_tables, preset

    given = [name for name in ("preset", "data", "tables") if getattr(args, name) is not None]
    if len(given) != 1:
        got = " and ".join(f"--{name}" for name in given) or "none"
        raise UsageError(f"tables: give one of --preset, --data and --tables, got {got}")
    if args.embedding_dim is not None:
        whole_number("--embedding-dim", args.embedding_dim, at_least=1)
        if args.tables is not None:
            raise UsageError("--embedding-dim: --tables has a width for each table: leave it out")
    if args.tables is not None:
        return parse_tables(args.tables)
    if args.preset is not None:
        return preset(args.preset, args.embedding_dim)
    return log_workload(args.data, args.embedding_dim)
