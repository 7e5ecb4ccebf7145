"""`pocketrec export`: a trained run becomes a file that scores as PyTorch does, with its quality measured and told."""

from __future__ import annotations

import csv
import hashlib
import json
import random
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from pocketrec.artifact import read_artifact
from pocketrec.cli import main
from pocketrec.data import open_log, prepare, synthesize
from pocketrec.export import Graph, pack, parity, programs
from pocketrec.export.out import format_of
from pocketrec.runs import evaluate_run, open_run

QUICK = ["--batch-size", "256", "--epochs", "1", "--threads", "1"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    synthesize(folder / "clicks.tsv", rows=4000, distinct_ids=1500, progress=False)
    prepare(folder / "clicks.tsv", folder / "prepared", progress=False)
    return folder / "prepared"


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "robe"
    assert main(["train", "--data", str(prepared), "--compression", "10", "--out", str(out), *QUICK]) == 0
    return out


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "clicks-int8.pocket"
    assert main(["export", str(trained), "--out", str(out), "--dtype", "int8"]) == 0
    return out


def raw_id(kind: str, value: Any) -> int:
    """By docs/format.md alone, as another language would."""
    if value in (None, ""):
        return 0
    if isinstance(value, dict):
        return int(value["id"])
    if kind == "text":
        return int.from_bytes(hashlib.sha256(value.encode()).digest()[:8], "big") >> 2
    return int(value, 16) if kind == "hex" else int(value)


def score(path: Path, rows: list[dict[str, Any]], folder: Path) -> np.ndarray:
    """Probabilities of rows, with a zip reader and an ONNX runtime, nothing of ours."""
    with zipfile.ZipFile(path) as file:
        file.extractall(folder)
    told = json.loads((folder / "recipe.json").read_text())
    inputs = told["inputs"]
    dense = [[np.nan if row.get(name) is None else row[name] for name in inputs["dense"]] for row in rows]
    ids = [[raw_id(each["kind"], row.get(each["name"])) for each in inputs["categorical"]] for row in rows]
    feeds = {"dense": np.array(dense, np.float32), "ids": np.array(ids, np.int64)}
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    return session.run(["probability"], {name: feeds[name] for name in told["graph"]["inputs"]})[0]


def test_another_reader_scores_the_examples(exported, tmp_path):
    """Catches a page, a recipe and a graph that do not say the same."""
    examples = json.loads(zipfile.ZipFile(exported).read("recipe.json"))["examples"]
    assert len(examples) == 8
    got = score(exported, [each["row"] for each in examples], tmp_path)
    np.testing.assert_allclose(got, [each["probability"] for each in examples], rtol=0, atol=1e-5)
    assert got[0] < got[-1] - 0.01, "from the least probable to the most"


def test_what_int8_costs_is_measured_and_told(exported, trained, prepared):
    recipe = read_artifact(exported).recipe
    log = open_log(prepared)
    run = open_run(trained, log)
    told = recipe.metrics["validation"]
    before = evaluate_run(run, log, "validation").auc
    assert told["auc_float32"] == told["auc_as_trained"] == pytest.approx(before, abs=1e-7)
    assert told["auc_change"] == pytest.approx(told["auc"] - before, abs=1e-7)
    assert 0 < abs(told["log_loss_change"]) < 1e-3
    assert recipe.metrics["test"]["rows"] == log.manifest.rows["test"]
    assert recipe.metrics["parity"]["largest_difference"] < 1e-5
    assert recipe.data["fingerprint"] == log.manifest.fingerprint
    slots = recipe.memory["slots"]
    assert recipe.memory["dtype"] == "int8"
    assert recipe.memory["bytes"] == recipe.sizes["memory_bytes"] == slots + 4 * -(-slots // 64)


def test_the_memory_is_stored_once_and_as_told(exported, trained):
    """Catches an export that tells int8 and stores float32, or has the memory in the file twice."""
    artifact = read_artifact(exported)
    recipe = artifact.recipe
    memory = artifact.tensors["embeddings.memory"]
    assert (memory.dtype, memory.size) == (np.int8, recipe.memory["slots"])
    stored = memory.nbytes + artifact.tensors["embeddings.scales"].nbytes
    assert stored == recipe.memory["bytes"]
    counted = recipe.sizes["memory_bytes"] + recipe.sizes["dense_part_bytes"] + recipe.sizes["id_map_bytes"]
    assert counted <= recipe.sizes["weights_bytes"] < counted + 10_000
    assert artifact.size < recipe.sizes["weights_bytes"] + recipe.sizes["graph_bytes"] + 20_000


def test_the_summary_says_what_matters(trained, tmp_path, capsys, monkeypatch):
    """Also: from another folder, and the same bytes again where the date is fixed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert main(["export", str(trained), "--out", "a.pocket", "--dtype", "fp16", "--name", "clicks"]) == 0
    told = capsys.readouterr().out
    for word in (
        "memory",
        "float16",
        "dense part",
        "id map",
        "replaces",
        "smaller",
        "validation AUC",
        "as trained in float32",
    ):
        assert word in told
    assert "pocketrec serve a.pocket" in told
    first = Path("a.pocket").read_bytes()
    assert read_artifact("a.pocket").recipe.made_by["date"] == "1970-01-01T00:00:00Z"
    assert main(["export", str(trained), "--out", "a.pocket", "--dtype", "float16", "--name", "clicks"]) == 0
    assert Path("a.pocket").read_bytes() == first
    assert read_artifact("a.pocket").tensors["embeddings.stored.memory"].dtype == np.float16


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Path:
    """A CSV log of text, integers and fractions, with a vocabulary."""
    folder, draw = tmp_path_factory.mktemp("shop"), random.Random(0)
    with open(folder / "shop.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["bought", "price", "stock", "word", "shop"])
        for _ in range(2000):
            word, shop = f"wörd {draw.randrange(40)}", draw.randrange(1, 30)
            bought = int(draw.random() < (0.8 if shop % 2 else 0.2))
            price = draw.choice(["", f"{draw.random() * 100:.2f}"])
            rows.writerow([bought, price, draw.randrange(-1, 100_000), draw.choice([word, ""]), shop])
    columns = {"label": "bought", "dense": ["price", "stock"], "categorical": ["word", "shop"]}
    prepare(folder / "shop.csv", folder / "prepared", format="csv", separator=",", progress=False, **columns)
    return folder / "prepared"


def test_text_integers_fractions_and_a_vocabulary(shop, tmp_path):
    run, out = str(tmp_path / "run"), tmp_path / "shop.pocket"
    flags = ["--sharing", "qr", "--compression", "2", "--ids", "vocabulary", *QUICK]
    assert main(["train", "--data", str(shop), "--out", run, *flags]) == 0
    assert main(["export", run, "--out", str(out)]) == 0
    recipe = read_artifact(out).recipe
    assert [(each.name, each.kind) for each in recipe.inputs.categorical] == [("word", "text"), ("shop", "integer")]
    assert recipe.ids["policy"] == "vocabulary"
    assert recipe.ids["rows"] == [each["num_embeddings"] for each in recipe.tables]
    assert recipe.name == "shop"
    rows = [dict(each.row) for each in recipe.examples]
    got = score(out, rows, tmp_path / "a")
    np.testing.assert_allclose(got, [each.probability for each in recipe.examples], rtol=0, atol=1e-5)
    with open(shop.parent / "shop.csv", newline="") as file:
        logged = {(float(each["price"] or 0), max(int(each["stock"]), 0)) for each in csv.DictReader(file)}
    assert {(row["price"], row["stock"]) for row in rows} <= logged, "the log's own numbers, to their last digit"
    assert all(isinstance(row["stock"], int) for row in rows)
    # The words themselves, where the examples could only tell ids.
    words = {raw_id("text", f"wörd {n}"): f"wörd {n}" for n in range(40)}
    spoken = [row | {"word": words[row["word"]["id"]] if row["word"] else ""} for row in rows]
    np.testing.assert_array_equal(score(out, spoken, tmp_path / "b"), got)


def test_the_graph_alone(trained, exported, tmp_path, capsys):
    """One .onnx file with its weights inside, for those who bring their own runtime."""
    out = tmp_path / "clicks.onnx"
    assert main(["export", str(trained), "--out", str(out), "--dtype", "int8"]) == 0
    told = capsys.readouterr().out
    assert "graph and PyTorch at most" in told
    assert "as trained in float32" in told, "what int8 costs"
    assert list(tmp_path.iterdir()) == [out]
    model, graph = onnx.load(out), onnx.load_from_string(read_artifact(exported).graph)
    assert [node.op_type for node in model.graph.node] == [node.op_type for node in graph.graph.node]
    feeds = {"dense": np.zeros((3, 13), np.float32), "ids": np.arange(78).reshape(3, 26)}
    session = onnxruntime.InferenceSession(out)
    (got,) = session.run(None, feeds)
    weights = read_artifact(exported).weights
    expected = parity.run_onnx(read_artifact(exported).graph, bytes(weights), feeds)
    np.testing.assert_array_equal(got, expected)
    recipe = json.loads(zipfile.ZipFile(exported).read("recipe.json"))
    said = json.loads(session.get_modelmeta().custom_metadata_map["pocketrec.inputs"])
    assert said == recipe["inputs"] | {"ids": recipe["ids"]["policy"]}
    for own in (model, graph):
        values = [*own.graph.input, *own.graph.output]
        assert [value.type.tensor_type.shape.dim[0].dim_param for value in values] == ["batch"] * 3


def test_a_program_alone(trained, tmp_path, capsys):
    out = tmp_path / "clicks.pt2"
    assert main(["export", str(trained), "--out", str(out), "--dtype", "int8"]) == 0
    told = capsys.readouterr().out
    assert "program and PyTorch at most" in told
    assert "as trained in float32" in told
    said = {"pocketrec.inputs": ""}
    program = torch.export.load(out, extra_files=said).module()
    inputs = json.loads(said["pocketrec.inputs"])
    assert inputs["ids"] == "filtered"
    dense, ids = (torch.zeros(3, len(inputs[name])) for name in ("dense", "categorical"))
    assert program(dense, ids.long()).shape == (3,)


# What cannot be exported, and why.


def refused(capsys, *flags: str, code: int = 1) -> str:
    assert main(["export", *flags]) == code
    return capsys.readouterr().err


@pytest.fixture
def copied(trained, tmp_path) -> Path:
    """The run, to be changed."""
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def edit(run: Path, **fields: Any) -> None:
    told = json.loads((run / "config.json").read_text()) | fields
    (run / "config.json").write_text(json.dumps({k: v for k, v in told.items() if v is not ...}))


def test_a_log_that_is_not_there(copied, tmp_path, capsys):
    out = ["--out", str(tmp_path / "x.pocket")]
    edit(copied, log=str(tmp_path / "moved"))
    said = refused(capsys, str(copied), *out)
    assert "was trained on the log in" in said
    assert "--data DIR" in said
    edit(copied, log=...)
    assert "does not say where its log is" in refused(capsys, str(copied), *out)
    assert "no such folder" in refused(capsys, str(copied), *out, "--data", str(tmp_path / "none"))
    assert not (tmp_path / "x.pocket").exists()


def test_another_log(trained, shop, tmp_path, capsys):
    said = refused(capsys, str(trained), "--out", str(tmp_path / "x.pocket"), "--data", str(shop))
    assert "is not the log that" in said
    assert not (tmp_path / "x.pocket").exists()


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--dtype", "int7"], 2, "did you mean 'int"),
        (["--format", "pickle"], 2, "format: unknown name 'pickle'"),
        (["--out", "x.onnx", "--name", "x"], 2, "--name is for --format pocket"),
        (["--name", "a/b"], 2, "name: a model's name is"),
    ],
)
def test_flags_that_make_no_sense(trained, tmp_path, capsys, flags, code, said, monkeypatch):
    assert said in refused(capsys, str(trained), "--out", str(tmp_path / "x.pocket"), *flags, code=code)
    assert not (tmp_path / "x.pocket").exists()


@pytest.mark.parametrize(
    ("name", "format"),
    [("x", "pocket"), ("x.bin", "pocket"), ("x.pocket", "pocket"), ("a.pocket/x.ONNX", "onnx"), ("x.pt2", "pt2")],
)
def test_a_file_s_name_says_its_format(name, format):
    """Catches an artifact that is named x.onnx."""
    assert format_of(name, None) == format


@pytest.mark.parametrize(
    ("name", "format", "said"),
    [
        ("x.onnx", "pocket", "x.pocket, or leave --format out for onnx"),
        ("x.pocket", "onnx", "x.onnx, or leave --format out"),
        ("x.onnx", "aoti", "x.pt2, or leave --format out"),
    ],
)
def test_a_name_of_another_format(trained, tmp_path, capsys, name, format, said):
    assert said in refused(capsys, str(trained), "--out", str(tmp_path / name), "--format", format, code=2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["pocket", "onnx"])
def test_a_folder_where_the_file_should_go(trained, tmp_path, capsys, format, monkeypatch):
    """Said before the work, not after it."""
    for module in (pack, programs):
        monkeypatch.setattr(module, "open_run", lambda *_: pytest.fail("went to work"))
    (tmp_path / "file").touch()
    for out, said in ((tmp_path, "is a folder, and must be a file"), (tmp_path / "file" / "x", "is no folder")):
        assert said in refused(capsys, str(trained), "--out", str(out), "--format", format, code=2)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_no_run(tmp_path, capsys):
    assert "not a run folder" in refused(capsys, str(tmp_path), "--out", str(tmp_path / "x.pocket"))


def test_a_graph_that_says_something_else_is_not_written(exported, trained, tmp_path, capsys, monkeypatch):
    """The check of every export can fail."""
    good = read_artifact(exported)
    tensors = {name: array.copy() for name, array in good.tensors.items()}
    tensors["embeddings.memory"][:] = 0
    wrong = Graph(onnx.load_from_string(good.graph), tensors)
    monkeypatch.setattr(pack, "build_graph", lambda *args: wrong)
    out = tmp_path / "x.pocket"
    out.write_bytes(b"what was there")
    assert "nothing was written" in refused(capsys, str(trained), "--out", str(out), "--dtype", "int8")
    assert out.read_bytes() == b"what was there"
