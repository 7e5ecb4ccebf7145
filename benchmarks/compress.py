"""How long does `compress_` with `fit=True` take on one large table, and how much memory?

    python benchmarks/compress.py [--rows 10000000] [--compression 10 100 1000]

Goals for 10 million rows, D = 64: under 30 s, and a peak under twice the table. One process each: a peak is one's own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import torch
from record import record
from torch import nn

from pocketrec import Robe, compress_

DIM, CHUNK = 64, 16


def main() -> None:
    """Measure in a process each, and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--compression", type=float, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(_measure(options.rows, options.compression[0], options.threads)))
        return
    for compression in options.compression:
        given = ["--rows", str(options.rows), "--compression", str(compression), "--threads", str(options.threads)]
        command = [sys.executable, __file__, "--alone", *given]
        seconds, tables = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        shape = f"{options.rows} rows, D={DIM}, robe Z={CHUNK}, {compression:g}x, threads={options.threads}"
        record("compress_ with fit", shape, "cpu", "s", [seconds])
        record("compress_ with fit", shape, "cpu", "peak, x table", [tables])


def _measure(rows: int, compression: float, threads: int) -> tuple[float, float]:
    """Seconds, and the peak of the whole process in tables."""
    torch.set_num_threads(threads)
    model = nn.ModuleDict({"table": nn.Embedding(rows, DIM)})
    started = time.perf_counter()
    compress_(model, Robe(CHUNK), compression=compression, fit=True)
    seconds = time.perf_counter() - started
    return seconds, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (4 * rows * DIM)


if __name__ == "__main__":
    main()
