"""How fast is `pocketrec serve`, beside the model in its own process and beside full tables?

    python benchmarks/serving.py FOLDER [--presets kaggle,terabyte] [--rounds 3] [--seconds 5]
                                 [--engine native|onnx] [--mixed MINUTES] [--full SHARE]

Makes the artifacts in FOLDER once. Everything of a preset runs in turns, so that other work on the machine disturbs all
of it alike; server and client share the processors, as they do not where it matters. `cpu` rows divide processor times
instead of wall times: other work hardly moves them.

- one row: latency over loopback at 200 requests a second that arrive at random;
- 256 rows a request as JSON rows, JSON columns and binary: rows a second as a share of what threads of one process
  score without any server (`of own`);
- `--mixed`: for so many minutes, 70 % of the capacity for a mix of requests; errors, and memory after the first minute;
- `--full`: the kaggle model with that share of Criteo Kaggle's full tables (2.4 GB with ids at 1): time to start,
  resident memory and latency, full over small.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from record import record
from safetensors.numpy import save
from serving_models import artifact, full_artifact, log_file

from pocketrec.artifact import read_artifact
from pocketrec.runtime import parse_rows

JSON, BINARY = "application/json", "application/x-safetensors"
ROWS, BODIES, RATE = 256, 8, 200
CORES = len(os.sched_getaffinity(0))
NOT_ALL = ("200", "503", "-1")
"""Statuses where a machine with other work may refuse: too many wait, or (-1) every connection does."""
_OWN = """
import sys, threading, time, numpy as np
from safetensors.numpy import load_file
from pocketrec.runtime import load
model, inputs = load(sys.argv[1], sys.argv[2], threads=1), [load_file(path) for path in sys.argv[5:]]
threads, seconds, rows = int(sys.argv[3]), float(sys.argv[4]), []
def work():
    number, until = 0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        each = inputs[number % len(inputs)]
        model.score(each["dense"], each["ids"])
        number += 1
    rows.append(number * len(each["ids"]))
before, started = time.process_time(), time.perf_counter()
all = [threading.Thread(target=work) for _ in range(threads)]
[each.start() for each in all], [each.join() for each in all]
print(sum(rows) / (time.perf_counter() - started), (time.process_time() - before) / sum(rows))
"""


class Server:
    """`pocketrec serve` in a process of its own."""

    def __init__(self, path: Path, engine: str) -> None:
        self.started = time.perf_counter()
        command = [sys.executable, "-m", "pocketrec", "serve", str(path), "--port", "0", "--timeout", "60"]
        command += ["--engine", engine]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if "listening on" in line:
                self.port = int(line.rsplit(":", 1)[1])
                break
        else:
            raise SystemExit(f"the server for {path} did not start")
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz") as answer:
            self.engine: str = json.load(answer)["engine"]
        self.start_seconds = time.perf_counter() - self.started

    def resident(self) -> float:
        """MB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def processor_seconds(self) -> float:
        """Of all its threads, since it began."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """Wait for its end."""
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(timeout=60):
            raise SystemExit(f"the server ended with {self.process.returncode}")


@contextmanager
def serving(path: Path, engine: str) -> Iterator[Server]:
    """A server while it is needed."""
    server = Server(path, engine)
    try:
        yield server
    finally:
        server.stop()


class Bodies:
    """Requests of real rows, as files: one row, and `ROWS` rows in three forms."""

    def __init__(self, folder: Path, path: Path) -> None:
        self.folder = folder
        recipe = read_artifact(path).recipe
        lines = [line.rstrip("\n").split("\t")[1:] for line in log_file(folder).open()]
        values = [[int(v) if v and i < 13 else v or None for i, v in enumerate(line)] for line in lines]
        rows = [dict(zip(recipe.inputs.names, each, strict=True)) for each in values]
        self.one = [self._json(f"one{i}", {"rows": [rows[i]]}) for i in range(BODIES)]
        slices = [rows[ROWS * i : ROWS * (i + 1)] for i in range(BODIES)]
        self.rows = [self._json(f"rows{i}", {"rows": each}) for i, each in enumerate(slices)]
        self.columns = [
            self._json(f"columns{i}", {"columns": {name: [row[name] for row in each] for name in each[0]}})
            for i, each in enumerate(slices)
        ]
        self.binary = []
        for i, each in enumerate(slices):
            dense, ids = parse_rows(recipe, each)
            self.binary.append(self._file(f"binary{i}", save({"dense": dense, "ids": ids}), BINARY))
        self.mixed = self.one * 8 + self.rows + self.columns + self.binary

    def _json(self, name: str, content: Any) -> tuple[str, str]:
        return self._file(name, json.dumps(content).encode(), JSON)

    def _file(self, name: str, content: bytes, kind: str) -> tuple[str, str]:
        path = self.folder / f"body_{name}"
        path.write_bytes(content)
        return str(path), kind


def client(server: Server, bodies: list[tuple[str, str]], seconds: float, **more: Any) -> subprocess.Popen[str]:
    """The load client, begun."""
    about = {"port": server.port, "bodies": bodies, "seconds": seconds, **more}
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "load.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(about))
    process.stdin.close()
    return process


def told_by(process: subprocess.Popen[str], statuses: tuple[str, ...] = ("200",)) -> dict[str, Any]:
    """What the client measured. Stops the benchmark where an answer was another."""
    assert process.stdout is not None
    told: dict[str, Any] = json.loads(process.stdout.read())
    process.wait()
    if set(told["statuses"]) - set(statuses):
        raise SystemExit(f"answers were {told['statuses']}")
    return told


def refused(told: dict[str, Any]) -> int:
    """Requests without scores."""
    return sum(count for status, count in told["statuses"].items() if status != "200")


def full_speed(server: Server, bodies: list[tuple[str, str]], seconds: float, connections: int) -> dict[str, float]:
    """With every connection busy: requests a second, processor seconds a request, milliseconds."""
    before = server.processor_seconds()
    told = told_by(client(server, bodies, seconds, mode="full", connections=connections))
    requests = sum(told["statuses"].values())
    return {
        "requests/s": requests / told["seconds"],
        "cpu": (server.processor_seconds() - before) / requests,
        **told["milliseconds"],
    }


def own_speed(path: Path, engine: str, bodies: Bodies, seconds: float) -> tuple[float, float]:
    """(rows a second, processor seconds a row) of the model in a process of its own, a thread a core."""
    files = [path for path, _ in bodies.binary]
    command = [sys.executable, "-c", _OWN, str(path), engine, str(CORES), str(seconds), *files]
    speed, cpu = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(speed), float(cpu)


def conditions() -> str:
    """How busy the machine is."""
    return f"load average {os.getloadavg()[0]:.1f} on {CORES} cores, client included"


def measure_preset(folder: Path, preset: str, engine: str, rounds: int, seconds: float) -> None:
    """Latency of one row, and throughput of many beside the model's own."""
    path = artifact(folder, preset)
    bodies = Bodies(folder, path)
    found: dict[tuple[str, str], list[float]] = {}

    def note(shape: str, unit: str, value: float) -> None:
        found.setdefault((shape, unit), []).append(value)

    with serving(path, engine) as server:
        full_speed(server, bodies.mixed, 1, 4)
        for _ in range(rounds):
            told = told_by(client(server, bodies.one, seconds, mode="rate", rate=RATE, connections=200), NOT_ALL)
            for name, value in told["milliseconds"].items():
                note(f"1 row, {RATE} requests/s", f"ms {name}", value)
            note(f"1 row, {RATE} requests/s", "refused", refused(told))
            busy = full_speed(server, bodies.one, seconds, 16)
            note("1 row, 16 connections", "requests/s", busy["requests/s"])
            note("1 row, 16 connections", "cpu us/request", 1e6 * busy["cpu"])
            own, own_cpu = own_speed(path, server.engine, bodies, seconds)
            note("256 rows", "rows/s of own", own)
            for form in ("rows", "columns", "binary"):
                busy = full_speed(server, getattr(bodies, form), seconds, 2 * CORES)
                shape = f"256 rows, {'JSON ' if form != 'binary' else ''}{form}"
                note(shape, "rows/s", ROWS * busy["requests/s"])
                note(shape, "of own", ROWS * busy["requests/s"] / own)
                note(shape, "of own, cpu", ROWS * own_cpu / busy["cpu"])
        note("after all", "MB resident", server.resident())
    for (shape, unit), values in found.items():
        record("serving", f"{preset}, {shape}", server.engine, unit, values, conditions())


def measure_mixed(folder: Path, engine: str, minutes: float, seconds: float) -> None:
    """70 % of capacity: errors, and memory after the first minute."""
    path = artifact(folder, "kaggle")
    bodies = Bodies(folder, path)
    with serving(path, engine) as server:
        capacity = full_speed(server, bodies.mixed, 2 * seconds, 2 * CORES)["requests/s"]
        running = client(server, bodies.mixed, 60 * minutes, mode="rate", rate=0.7 * capacity, connections=200)
        begun, resident = time.perf_counter(), [server.resident()]
        settled = None
        while running.poll() is None:
            time.sleep(1)
            resident.append(server.resident())
            if settled is None and time.perf_counter() - begun >= min(60, 20 * minutes):
                settled = statistics.median(resident[-5:])
        told = told_by(running, NOT_ALL)
    total = sum(told["statuses"].values())
    grown = statistics.median(resident[-5:]) - (settled or resident[0])
    shape = f"kaggle, mixed, {minutes:g} min at 70 % of {capacity:.0f} requests/s"
    record("serving", shape, server.engine, "errors", [refused(told)], f"{total} requests, {conditions()}")
    record(
        "serving", shape, server.engine, "MB grown after the first minute", [grown], f"{max(resident):.1f} MB at most"
    )
    for name, value in told["milliseconds"].items():
        record("serving", shape, server.engine, f"ms {name}", [value], conditions())


def measure_full(folder: Path, engine: str, share: float, rounds: int, seconds: float) -> None:
    """Small against full tables: time to start, memory, latency."""
    small = artifact(folder, "kaggle")
    paths = {"small": small, "full": full_artifact(folder, small, share)}
    bodies = Bodies(folder, small)
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    engines = {}
    for _ in range(rounds):
        for which, path in paths.items():
            with serving(path, engine) as server:
                engines[which] = server.engine
                told = {("start", "s"): server.start_seconds}
                for shape, sent in (("1 row", bodies.one), ("256 rows, binary", bodies.binary)):
                    told[shape, "ms p50"] = full_speed(server, sent, seconds, 1)["p50"]
                told["resident memory", "MB"] = server.resident()
            for key, value in told.items():
                found.setdefault(key, {}).setdefault(which, []).append(value)
    sizes = ", ".join(f"{which} {path.stat().st_size / 1e6:.1f} MB" for which, path in paths.items())
    for (shape, unit), both in found.items():
        for which, values in both.items():
            record("serving", f"kaggle {which} tables, {shape}", engines[which], unit, values, sizes)
        ratios = (np.array(both["full"]) / np.array(both["small"])).tolist()
        compared = f"{engines['full']}/{engines['small']}"
        record("serving", f"kaggle, {shape}", compared, "full/small", ratios, f"{sizes}; {conditions()}")


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--presets", default="kaggle,terabyte")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--mixed", type=float, nargs="?", const=5.0, metavar="MINUTES")
    parser.add_argument("--full", type=float, nargs="?", const=1.0, metavar="SHARE")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for preset in filter(None, options.presets.split(",")):
        measure_preset(options.folder, preset, options.engine, options.rounds, options.seconds)
    if options.full:
        measure_full(options.folder, options.engine, options.full, options.rounds, options.seconds)
    if options.mixed:
        measure_mixed(options.folder, options.engine, options.mixed, options.seconds)


if __name__ == "__main__":
    main()
