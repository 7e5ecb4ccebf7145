"""How fast are lookup and training step of the embeddings, against a copy, PyTorch and FBGEMM?

    python benchmarks/lookup.py [--part forward train grid size chunk memory] [--ids uniform zipf] [--short]

Batch 2048 x 26 features, D = 128, a memory of 2.5 M slots unless a row says otherwise. Every duel runs in a process of
its own, holds at most one large peer (10 GB; bags and their state 12 GB) and measures ours, the peer and a copy of the
output's bytes in turns: only ratios within one run mean anything. `--short` takes tables a tenth as large and fewer
rounds. Rows go to benchmarks/results.csv, or to where POCKETREC_RESULTS points.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

import torch
from duels import PARTS, Options
from extra_memory import extra_memory
from ids import KINDS
from record import record
from rows import Row

ALL_PARTS = PARTS | {"memory": (extra_memory,)}
# An output of 27 MB given back to the system and fetched again costs 7,000 page faults, in a virtual machine 70 ms,
# now and then, whomever it hits. Kept by the allocator, as jemalloc would keep it, it costs nobody anything.
KEEP_PAGES = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
DUELS = {duel.__name__: duel for duels in ALL_PARTS.values() for duel in duels}


def main() -> None:
    """Run the chosen parts, one process a duel, and record what they print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=ALL_PARTS, default=list(ALL_PARTS))
    parser.add_argument("--ids", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--short", action="store_true", help="smaller peers, fewer repetitions")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--duel", choices=DUELS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.duel:
        _run_duel(options.duel, Options(options.short, options.ids, options.threads))
        return
    for part in options.part:
        for duel in ALL_PARTS[part]:
            _start(duel.__name__, sys.argv[1:])


def _run_duel(name: str, options: Options) -> None:
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    for row in DUELS[name](options):
        print(json.dumps(row), flush=True)


def _start(duel: str, arguments: list[str]) -> None:
    """Run one duel in a process of its own and record its rows as they come."""
    command = [sys.executable, __file__, *arguments, "--duel", duel]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | KEEP_PAGES) as process:
        assert process.stdout
        for line in process.stdout:
            # Libraries print to the standard output too; only a row is a JSON list.
            if line.startswith('["'):
                row = Row(*json.loads(line))
                record(row.benchmark, row.shape, "cpu", row.unit, row.values, row.conditions)
    if process.returncode:
        raise SystemExit(f"{duel} failed with exit code {process.returncode}")


if __name__ == "__main__":
    main()
