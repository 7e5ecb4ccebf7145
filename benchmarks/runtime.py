"""How fast does an artifact answer without torch, by which engine, and how soon? And how fast is a log scored?

    python benchmarks/runtime.py ARTIFACT [--log clicks.tsv] [--rounds 200]

Of each engine that can: start (a new process, from its first line until it has scored a row), resident memory after
that, and one call of `score` for 1 and for 256 rows on one thread. With --log: rows a second of `pocketrec score` by
each engine and by none (`read`: what reading and writing take), as a share of `pocketrec prepare` on the same log, and
the resident memory at its highest. All is timed in turns; processor times are what other work on a machine changes
least.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from record import record

from pocketrec.errors import UsageError
from pocketrec.runtime import Model, load

ENGINES = ("native", "onnx")
_START = """
import os, sys, time
began = time.clock_gettime(time.CLOCK_MONOTONIC)
from pocketrec.runtime import load
model = load(sys.argv[1], sys.argv[2], threads=1)
model.score_rows([model.recipe.examples[0].row])
resident = int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
print(time.clock_gettime(time.CLOCK_MONOTONIC) - began, time.process_time(), resident)
"""
_SCORE = """
import sys
from pocketrec.runtime import score_file
score_file(*sys.argv[2:5], engine=sys.argv[1], progress=False)
"""
_READ = """
import numpy as np
from pocketrec.runtime import load, scoring
def blind(*arguments, **options):
    model = load(*arguments, **options)
    model.score = lambda dense, ids: np.full(len(ids), 0.5, np.float32)
    return model
scoring.load = blind
"""
_READ += _SCORE
_PREPARE = "import sys; from pocketrec.data import prepare; prepare(*sys.argv[1:3], progress=False)"


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--file-rounds", type=int, default=3)
    options = parser.parse_args()
    models = _loaded(options.artifact)
    recipe = next(iter(models.values())).recipe
    shape = f"{recipe.model['ranker']}, {recipe.model['preset']}, {options.artifact.stat().st_size / 1e6:.1f} MB"
    for engine in models:
        _measure_start(options.artifact, engine, shape)
    for rows in (1, 256):
        _measure_calls(models, rows, options.rounds, shape)
    if options.log:
        _measure_files(options.artifact, options.log, shape, options.file_rounds)


def _loaded(artifact: Path) -> dict[str, Model]:
    models = {}
    for engine in ENGINES:
        try:
            models[engine] = load(artifact, engine, threads=1)
        except UsageError as error:
            print(f"{engine}: {error}")
    return models


def _measure_start(artifact: Path, engine: str, shape: str) -> None:
    told = []
    for _ in range(7):
        out = subprocess.run([sys.executable, "-c", _START, artifact, engine], capture_output=True, check=True)
        told.append([float(each) for each in out.stdout.split()])
    wall, cpu, resident = zip(*told, strict=True)
    record("runtime start", shape, engine, "s", wall, "until one row is scored")
    record("runtime start", shape, engine, "cpu s", cpu, "all of the process")
    record("runtime start", shape, engine, "resident MB", [each / 1e6 for each in resident])


def _measure_calls(models: dict[str, Model], rows: int, rounds: int, shape: str) -> None:
    recipe = next(iter(models.values())).recipe
    random = np.random.default_rng(0)
    dense = random.integers(0, 1000, (rows, recipe.n_dense)).astype(np.float32)
    ids = random.integers(0, 1 << 32, (rows, recipe.n_features))
    cpu: dict[str, list[float]] = {engine: [] for engine in models}
    wall: dict[str, list[float]] = {engine: [] for engine in models}
    for number in range(-5, rounds):
        for engine, model in models.items():
            began, of_thread = time.perf_counter(), time.thread_time()
            model.score(dense, ids)
            if number >= 0:
                cpu[engine].append((time.thread_time() - of_thread) * 1e3)
                wall[engine].append((time.perf_counter() - began) * 1e3)
    for engine in models:
        record("runtime score", f"{shape}, {rows} rows", engine, "cpu ms", cpu[engine])
        record("runtime score", f"{shape}, {rows} rows", engine, "ms", wall[engine])


def _measure_files(artifact: Path, log: Path, shape: str, rounds: int) -> None:
    with log.open("rb") as lines:
        rows = sum(1 for _ in lines)
    scores = {"native": (_SCORE, "native"), "onnx": (_SCORE, "onnx"), "read": (_READ, "auto")}
    found: dict[str, list[tuple[float, float, int]]] = {name: [] for name in ("prepare", *scores)}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir=log.parent) as folder:
            for name, (code, engine) in scores.items():
                found[name].append(_run([code, engine, artifact, log, Path(folder) / f"{name}.parquet"]))
            found["prepare"].append(_run([_PREPARE, log, Path(folder) / "prepared"]))
    whole = f"{shape}, {rows} rows"
    for name, each in found.items():
        kind, backend = ("prepare", "") if name == "prepare" else ("score", name)
        record(f"runtime file {kind}", whole, backend, "rows/s", [rows / seconds for seconds, _, _ in each])
        record(f"runtime file {kind}", whole, backend, "cpu s/Mrow", [1e6 * cpu / rows for _, cpu, _ in each])
        record(f"runtime file {kind}", whole, backend, "peak MB", [peak / 1e6 for _, _, peak in each])
    for name in scores:
        pairs = list(zip(found["prepare"], found[name], strict=True))
        record("runtime file score", whole, name, "of prepare", [prepared[0] / own[0] for prepared, own in pairs])
        record("runtime file score", whole, name, "of prepare, cpu", [prepared[1] / own[1] for prepared, own in pairs])


def _run(arguments: list[object]) -> tuple[float, float, int]:
    """(seconds, seconds of all processors, peak resident bytes) of Python with these arguments."""
    before, began, peak = os.times(), time.perf_counter(), 0
    with subprocess.Popen([sys.executable, "-c", *map(str, arguments)]) as process:
        while process.poll() is None:
            peak = max(peak, _resident(process.pid))
            time.sleep(0.02)
    seconds, after = time.perf_counter() - began, os.times()
    if process.returncode:
        raise SystemExit(f"failed with exit code {process.returncode}")
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return seconds, cpu, peak


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


if __name__ == "__main__":
    main()
