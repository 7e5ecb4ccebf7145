"""The distribution `pocketrec-runtime` in an environment of its own without torch: it builds, installs, scores, serves.

One slow test file on purpose: a wheel is built and installed with pip into a new environment. Where pip cannot fetch
what it needs, the tests that need it are skipped and say so.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import urllib.request
import venv
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
import polars as pl
import pytest
import small_dlrm as small

from pocketrec.artifact import read_artifact
from pocketrec.cli import main
from pocketrec.export.graph import build_graph

ROOT = Path(__file__).parent.parent.parent
ROW = {"price": 3, "age": None, "seen": 12, "hex_0": "1f", "integer_1": 7, "text_2": None, "hex_3": None}
LEFT_OUT = {"torch", "torchmetrics", "triton", "onnx", "onnxscript"}
# Names that are loaded when they are asked for, and then say what is missing.
MAY_NAME_WHAT_IS_NOT_THERE = {"pocketrec/__init__.py", "pocketrec/data/__init__.py", "pocketrec/data/log.py"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from the checkout, as `make runtime` builds it."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", out]
    subprocess.run([*command, ROOT / "packaging" / "runtime"], check=True)
    (path,) = out.glob("pocketrec_runtime-*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """The interpreter of a new environment that holds the runtime and what it depends on."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "--disable-pip-version-check",
        "install",
        "-q",
        "--no-compile",
    ]
    wanted = f"pocketrec-runtime[score,serve] @ {wheel.as_uri()}"
    done = subprocess.run([*pip, "-c", ROOT / "constraints.txt", wanted], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"pip cannot fetch what the runtime depends on: {done.stderr.strip()[-300:]}")
    return python


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(log, artifact): a model of random weights, with a graph as an export makes it, and an example by PyTorch."""
    folder = tmp_path_factory.mktemp("model")
    ids = small.policy("filtered")
    model = small.dlrm(ids)
    graph = build_graph(model, ids, range(len(small.KINDS)), len(small.DENSE))
    probability = small.expected(model, ids, np.array([[3, np.nan, 12]], np.float32), np.array([[0x1F, 7, 0, 0]]))
    examples = [{"row": ROW, "probability": float(probability[0])}]
    artifact = small.write(folder / "small.pocket", model, ids, examples=examples, exported=graph)
    log = folder / "log.csv"
    pl.DataFrame([ROW | {"price": price} for price in range(300)]).write_csv(log)
    return log, artifact


def modules(wheel):
    """Name in the wheel -> tree of each module."""
    with zipfile.ZipFile(wheel) as packed:
        names = [name for name in packed.namelist() if name.endswith(".py")]
        return {name: ast.parse(packed.read(name)) for name in names}


def imported(tree):
    """The modules that a tree imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_the_wheel_leans_on_nothing_that_it_leaves_out(wheel):
    """A module that comes to import one that trains would fail only in production."""
    trees = modules(wheel)
    there = {str(PurePosixPath(name).with_suffix("")).replace("/", ".").removesuffix(".__init__") for name in trees}
    for name, tree in trees.items():
        wanted = set(imported(tree))
        assert not {each.split(".")[0] for each in wanted} & LEFT_OUT, name
        if name not in MAY_NAME_WHAT_IS_NOT_THERE:
            assert {each for each in wanted if each.split(".")[0] == "pocketrec"} <= there, name


def test_the_wheel_holds_the_library_the_page_and_the_licence(wheel):
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
    assert any(re.fullmatch(r"pocketrec/runtime/_native.*\.so", name) for name in names)
    assert {"pocketrec/serving/web/index.html", "pocketrec/py.typed"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if "/kernels/" in name or name.endswith((".cpp", ".h"))]


SCORED = """
import importlib.util, re, sys
from pocketrec.runtime import load
model = load(sys.argv[1], sys.argv[2])
print(*model.score_rows([example.row for example in model.recipe.examples]).tolist())
assert model.engine == sys.argv[2]
assert importlib.util.find_spec("torch") is None
assert not {"torch", "polars", "fastapi"} & set(sys.modules)
assert int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1]) * 1024 < 250e6
"""


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("engine", ["native", "onnx"])
def test_it_scores_without_torch(environment, exported, tmp_path, engine):
    log, artifact = exported
    # Loading checks the examples.
    assert 0 < float(run(environment, "-I", "-c", SCORED, artifact, engine)) < 1
    program, out = environment.with_name("pocketrec"), tmp_path / "scores.parquet"
    told = run(program, "score", artifact, "--in", log, "--out", out, "--engine", engine)
    assert re.search(r"rows scored +300\n", told)
    assert main(["score", str(artifact), "--in", str(log), "--out", str(tmp_path / "here.parquet")]) == 0
    here, there = (pl.read_parquet(path)["score"].to_numpy() for path in (tmp_path / "here.parquet", out))
    np.testing.assert_allclose(there, here, atol=1e-6)
    assert here.std() > 0.001


def test_it_serves_without_torch(environment, exported):
    _, artifact = exported
    (example,) = read_artifact(artifact).recipe.examples
    command = [environment.with_name("pocketrec"), "serve", artifact, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            url = next(found[0] for line in server.stderr if (found := re.search(r"http://[\d.:]+\d", line)))
            body = json.dumps({"rows": [dict(example.row)]}).encode()
            request = urllib.request.Request(f"{url}/score", body, {"content-type": "application/json"})
            with urllib.request.urlopen(request) as answer:
                assert json.load(answer)["scores"] == [pytest.approx(example.probability, abs=1e-5)]
        finally:
            server.terminate()
            server.stderr.read()
    assert server.returncode == 0


def test_an_extra_that_is_missing_is_told_by_its_name_here(environment):
    """Nobody who has this distribution should install the other one over it."""
    without = "import sys; sys.modules['polars'] = None; from pocketrec.cli import main; main(sys.argv[1:])"
    command = [environment, "-I", "-c", without, "score", "x", "--in", "y", "--out", "z.csv"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert "pip install 'pocketrec-runtime[score]'" in told
    assert "Traceback" not in told


def test_its_command_line_has_what_needs_no_torch(environment):
    program = environment.with_name("pocketrec")
    shown = run(program, "--help")
    assert re.findall(r"^    (\w+) ", shown, re.MULTILINE) == ["score", "serve"]
    assert "demo" not in shown
    missing = subprocess.run(
        [environment, "-I", "-c", "from pocketrec import Robe"], capture_output=True, text=True, check=False
    )
    assert "not in pocketrec-runtime" in missing.stderr
