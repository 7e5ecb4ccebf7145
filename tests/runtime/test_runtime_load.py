"""Loading: which engine, what is refused, what is checked, and what it costs in imports."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import small_dlrm as small
from onnx import TensorProto, helper

from pocketrec.artifact import ArtifactError, read_artifact
from pocketrec.errors import UsageError
from pocketrec.runtime import RowError, load, native_library, onnx_engine, parse_columns, parse_rows

ROW = {"price": 3, "age": None, "seen": "12", "hex_0": "1f", "integer_1": 7, "text_2": "shoe", "hex_3": ""}


@pytest.fixture(scope="module")
def ids():
    return small.policy("raw")


@pytest.fixture(scope="module")
def model(ids):
    return small.dlrm(ids)


@pytest.fixture(scope="module")
def path(tmp_path_factory, model, ids):
    return small.write(tmp_path_factory.mktemp("artifact") / "small.pocket", model, ids)


ENGINES = ["onnx", pytest.param("native", marks=pytest.mark.skipif(not native_library.library(), reason="not built"))]


@pytest.fixture(params=ENGINES)
def loaded(request, path):
    return load(path, engine=request.param)


def test_rows_columns_and_arrays_score_alike(loaded):
    rows = [ROW, ROW | {"price": 99, "text_2": "hat"}]
    scores = loaded.score_rows(rows)
    columns = {name: [row[name] for row in rows] for name in ROW}
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, loaded.score(*parse_rows(loaded.recipe, rows)))
    np.testing.assert_array_equal(scores, loaded.score(*parse_columns(loaded.recipe, columns)))


def test_many_rows_and_none(loaded):
    """More rows than are scored at once give what they give a few at a time; no rows give no scores."""
    dense, raw = small.rows(2500)
    scores = loaded.score(dense, raw)
    pieces = [loaded.score(dense[first : first + 700], raw[first : first + 700]) for first in range(0, 2500, 700)]
    np.testing.assert_allclose(scores, np.concatenate(pieces), atol=1e-6)
    assert loaded.score(dense[:0], raw[:0]).shape == (0,)
    assert loaded.score_rows([]).shape == (0,)


def test_arrays_of_other_kinds_are_converted(loaded):
    dense, raw = small.rows(5)
    raw = raw & 0xFFFF
    wanted = loaded.score(dense, raw)
    np.testing.assert_array_equal(loaded.score(dense.astype(np.float64), np.asfortranarray(raw, np.uint16)), wanted)


def test_arrays_that_are_wrong(loaded):
    dense, raw = small.rows(5)
    with pytest.raises(UsageError, match=r"ids must be an integer array of shape \(n, 4\), got float64"):
        loaded.score(dense, raw.astype(float))
    with pytest.raises(UsageError, match=r"got int64 \(5, 3\)"):
        loaded.score(dense, raw[:, :3])
    with pytest.raises(UsageError, match=r"dense must be an array of shape \(5, 3\), got \(4, 3\)"):
        loaded.score(dense[:4], raw)
    for bad in (-1, 1 << 62):
        raw[3, 1] = bad
        with pytest.raises(RowError, match=f"row 3, feature 'integer_1': .*got {bad}") as raised:
            loaded.score(dense, raw)
        assert (raised.value.row, raised.value.feature) == (3, "integer_1")
    dense[2, 0] = np.inf
    with pytest.raises(RowError, match="row 2, feature 'price': a dense value is a finite number"):
        loaded.score(dense, small.rows(5)[1])


def test_threads_may_share_a_model(loaded):
    """Each scores rows of its own, again and again: what is computed in between belongs to a thread."""
    dense, raw = small.rows(600)
    slices = [slice(first, None) for first in (0, 100, 200, 300)]
    wanted = [loaded.score(dense[each], raw[each]) for each in slices]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda each: loaded.score(dense[each], raw[each]), slices * 20))
    for scores, right in zip(found, wanted * 20, strict=True):
        np.testing.assert_array_equal(scores, right)


def test_scores_stay_when_others_are_asked_for(loaded):
    dense, raw = small.rows(50)
    first = loaded.score(dense[:20], raw[:20])
    kept = first.copy()
    loaded.score(dense[20:], raw[20:])
    np.testing.assert_array_equal(first, kept)


def test_examples_are_scored_at_load(tmp_path, model, ids, path):
    """A weight that another build reads otherwise, a graph that a runtime misreads: told before the first request."""
    right = float(load(path, "native").score_rows([ROW])[0]) if native_library.library() else 0.5
    good = small.write(tmp_path / "good.pocket", model, ids, examples=[{"row": ROW, "probability": right}])
    load(good)
    off = [{"row": ROW, "probability": right}, {"row": ROW, "probability": right + 2e-5}]
    bad = small.write(tmp_path / "bad.pocket", model, ids, examples=off)
    with pytest.raises(ArtifactError, match=r"example 1 of small scores .* when it was exported"):
        load(bad)


@pytest.mark.skipif(not native_library.library(), reason="not built")
def test_batches_take_the_engine_that_can(tmp_path, path, model, ids, monkeypatch, caplog):
    """ONNX Runtime, unless it is not there or refuses the graph, as it does one with a weight of 2 GB."""
    assert load(path).engine == "native"
    assert load(path, batches=True).engine == "onnx"
    assert load(path, "native", batches=True).engine == "native"
    assert not caplog.records
    refused = helper.make_node("NoSuchOperator", ["half"], ["probability"])
    other = small.write(tmp_path / "x.pocket", model, ids, graph=small.stand_in(refused))
    assert load(other, batches=True).engine == "native"
    assert "refuses the graph" in caplog.text
    monkeypatch.setattr(onnx_engine, "is_installed", lambda: False)
    assert load(path, batches=True).engine == "native"


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([("Log", ["half"])], "gives what are no 2 probabilities: of shape (2,), [-0.69"),
        ([("Neg", ["half"], "less"), ("Sqrt", ["less"])], "[nan]"),
        ([("Unsqueeze", ["half", "axes"])], "of shape (2, 1)"),
        ([("Concat", ["half", "half"])], "of shape (4,)"),
        ([("NoSuchOperator", ["half"])], "refuses the graph"),
        ([("Div", ["sum", "nothing"], "none"), ("Cast", ["none"])], "cannot compute the graph"),
    ],
)
def test_graphs_that_give_no_probabilities(tmp_path, model, ids, nodes, said):
    """An output's declared shape binds no runtime, and a file without examples may hold any graph."""
    options = {"Concat": {"axis": 0}, "Cast": {"to": TensorProto.FLOAT}}
    made = [helper.make_node(op, takes, gives or ["probability"], **options.get(op, {})) for op, takes, *gives in nodes]
    path = small.write(tmp_path / "odd.pocket", model, ids, graph=small.stand_in(*made))
    with pytest.raises(ArtifactError) as raised:
        load(path, "onnx")
    assert said in str(raised.value)


def test_examples_that_are_no_rows(tmp_path, model, ids):
    path = small.write(tmp_path / "x.pocket", model, ids, examples=[{"row": ROW | {"price": "x"}, "probability": 0.5}])
    with pytest.raises(ArtifactError, match="an example of small is no row that it takes: row 0, feature 'price'"):
        load(path)


def test_an_artifact_read_before_is_taken_as_it_is(path):
    artifact = read_artifact(path)
    assert load(artifact).artifact is artifact


def test_arguments(path, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'onnx'"):
        load(path, engine="onx")
    with pytest.raises(UsageError, match="threads must be at least 1, got 0"):
        load(path, threads=0)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.pocket")
    assert load(path, engine="onnx", threads=2).score_rows([ROW]) == pytest.approx(0.5)


def test_the_native_engine_is_the_default_and_onnxruntime_what_is_left(path, monkeypatch):
    if native_library.library():
        assert load(path, threads=1).engine == "native"
    monkeypatch.setattr(native_library, "library", lambda: None)
    for module in ("native_engine", "id_maps"):
        monkeypatch.setattr(f"pocketrec.runtime.{module}.library", lambda: None)
    assert load(path).engine == "onnx"
    with pytest.raises(UsageError, match="the library was not built"):
        load(path, engine="native")
    monkeypatch.setattr(onnx_engine, "is_installed", lambda: False)
    with pytest.raises(UsageError, match="pip install onnxruntime"):
        load(path)


def test_a_library_of_another_system_is_none(tmp_path, monkeypatch, caplog):
    """A copied installation, or an older C++ runtime: there is another engine, so it is no reason to end."""
    (tmp_path / "_native.so").write_bytes(b"of elsewhere")
    monkeypatch.setattr(native_library, "__file__", str(tmp_path / "native_library.py"))
    assert native_library.library.__wrapped__() is None
    assert "the native engine is left out" in caplog.text


def test_a_graph_that_onnxruntime_refuses(tmp_path, model, ids, monkeypatch):
    from onnx import ModelProto

    wrong = ModelProto.FromString(small.stand_in())
    wrong.graph.node[1].op_type = "Mulll"
    monkeypatch.setattr(small, "stand_in", wrong.SerializeToString)
    path = small.write(tmp_path / "wrong.pocket", model, ids)
    with pytest.raises(ArtifactError, match=r"onnxruntime .* refuses the graph"):
        load(path, engine="onnx")


@pytest.mark.parametrize("engine", ENGINES)
def test_loading_and_scoring_import_no_torch_and_no_polars(path, engine):
    code = f"""
import sys
from pocketrec.runtime import load
load({str(path)!r}, {engine!r}).score_rows([{ROW!r}])
print(*{{name.split(".")[0] for name in sys.modules}})
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "polars", "pandas", "onnx", "fastapi", "tqdm", "torchmetrics"}
    heavy |= {"onnxruntime"} if engine == "native" else set()
    assert not heavy & set(out.stdout.split())
