"""How long does `compress_` with `fit=True` take on one large table, and how much memory?

    python benchmarks/compress.py [--rows 10000000] [--compression 10 100 1000] [--sharing robe low-rank ...]

Goals for 10 million rows, D = 64: under 30 s, and a peak under twice the table. One process each: a peak is one's own.
A scheme that refuses a compression is left out there, and says why.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from itertools import product

import torch
from record import record
from torch import nn

from pocketrec import HashEmbeddings, LowRank, MultiHash, QuotientRemainder, Robe, TensorTrain, compress_
from pocketrec.sharing import Scheme

DIM, CHUNK = 64, 16
_SCHEMES: dict[str, Scheme] = {
    "robe Z=16": Robe(CHUNK),
    "robe Z=16, 2 hashes": Robe(CHUNK, num_hashes=2),
    "multi-hash": MultiHash(),
    "qr add": QuotientRemainder("add"),
    "low-rank": LowRank(),
    "low-rank, hashed": LowRank(rows="hashed"),
    "qr": QuotientRemainder(),
    "hash-embeddings": HashEmbeddings(),
    "tt": TensorTrain(),
}


def main() -> None:
    """Measure in a process each, and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--compression", type=float, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--sharing", nargs="+", default=["robe Z=16"], choices=_SCHEMES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(_measure(options.rows, options.sharing[0], options.compression[0], options.threads)))
        return
    for sharing, compression in product(options.sharing, options.compression):
        given = ["--rows", str(options.rows), "--compression", str(compression), "--threads", str(options.threads)]
        command = [sys.executable, __file__, "--alone", "--sharing", sharing, *given]
        told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        shape = f"{options.rows} rows, D={DIM}, {sharing}, {compression:g}x, threads={options.threads}"
        if isinstance(told, str):
            print(f"{shape}: {told}")
            continue
        seconds, processor, tables = told
        record("compress_ with fit", shape, "cpu", "s", [seconds], f"{processor:.3g} s of processor time")
        record("compress_ with fit", shape, "cpu", "peak, x table", [tables])


def _measure(rows: int, sharing: str, compression: float, threads: int) -> tuple[float, float, float] | str:
    """Seconds, those of processors, and the peak of the whole process in tables; or why the table was kept."""
    torch.set_num_threads(threads)
    model = nn.ModuleDict({"table": nn.Embedding(rows, DIM)})
    started, worked = time.perf_counter(), time.process_time()
    report = compress_(model, _SCHEMES[sharing], compression=compression, fit=True)
    seconds, processor = time.perf_counter() - started, time.process_time() - worked
    if report.kept:
        return report.kept["table"]
    return seconds, processor, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (4 * rows * DIM)


if __name__ == "__main__":
    main()
