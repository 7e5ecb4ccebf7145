"""How fast is `prepare`, and how much memory does it take?

    python benchmarks/prepare.py FOLDER [--rows 8000000] [--distinct-ids 5000000] [--repeat 1]

Writes a synthetic log into FOLDER once (about 250 bytes a row), prepares it in a process of its own and removes what
was prepared. Memory is the resident set of that process and its children, sampled every 20 ms.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from record import record

from pocketrec.data import synthesize

_COMMAND = "import sys; from pocketrec.data import prepare; prepare(sys.argv[1], sys.argv[2], progress=False)"


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=8_000_000)
    parser.add_argument("--distinct-ids", type=int, default=5_000_000)
    parser.add_argument("--repeat", type=int, default=1)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    log = options.folder / f"log_{options.rows}_{options.distinct_ids}.tsv"
    if not log.exists():
        started = time.perf_counter()
        report = synthesize(log, rows=options.rows, distinct_ids=options.distinct_ids)
        print(f"{report} {options.rows / (time.perf_counter() - started):,.0f} rows/s")
    measured = [_prepare(log, options.folder / "prepared") for _ in range(options.repeat)]
    shape = f"{options.rows} rows, {options.distinct_ids} distinct ids"
    record("prepare", shape, "cpu", "rows/s", [options.rows / seconds for seconds, _, _ in measured])
    record("prepare", shape, "cpu", "cpu s/Mrow", [cpu * 1e6 / options.rows for _, cpu, _ in measured])
    record("prepare", shape, "cpu", "peak MB", [peak / 1e6 for _, _, peak in measured])


def _prepare(log: Path, out: Path) -> tuple[float, float, int]:
    """(seconds, seconds of all processors, peak bytes of the process tree)."""
    shutil.rmtree(out, ignore_errors=True)
    before, started, peak = os.times(), time.perf_counter(), 0
    with subprocess.Popen([sys.executable, "-c", _COMMAND, log, out]) as process:
        while process.poll() is None:
            peak = max(peak, _resident_bytes(process.pid))
            time.sleep(0.02)
    seconds, after = time.perf_counter() - started, os.times()
    shutil.rmtree(out, ignore_errors=True)
    if process.returncode:
        raise SystemExit(f"prepare failed with exit code {process.returncode}")
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return seconds, cpu, peak


def _resident_bytes(pid: int) -> int:
    """Resident bytes of a process and its descendants; 0 when it has just ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(_resident_bytes(int(child)) for child in children)


if __name__ == "__main__":
    main()
