"""export_onnx and export_pt2: files that stand alone, bags of any length, and no file where PyTorch says otherwise."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from exported import embeddings, random_ids
from torch import nn

from pocketrec import EmbeddingBagCollection, Robe, Table
from pocketrec.data.ids import FilteredIds
from pocketrec.errors import UsageError
from pocketrec.export import build_graph, export_onnx, export_pt2, onnx_file, parity
from pocketrec.export.bags import PaddedBags
from pocketrec.models import DLRM


def bags(samples: int, length: int, weighted: bool = True) -> PaddedBags:
    ids = random_ids(samples, length)
    return PaddedBags(ids, torch.rand(ids.shape) < 0.7, torch.randn(ids.shape) if weighted else None)


@pytest.fixture(scope="module")
def clicks():
    """A click model, its policy and rows of the log."""
    torch.manual_seed(0)
    ids = FilteredIds.build([np.arange(100, dtype=np.int64) for _ in range(2)])
    collection = EmbeddingBagCollection([Table(n, None, 4) for n in "ab"], Robe(4), memory_size=500, init=1.0)
    dense = torch.tensor([[1.0, float("nan")], [-2.0, 30.0]]).repeat(40, 1)
    return DLRM(collection, 2, (4,), (4,)).eval(), ids, (dense, torch.randint(0, 200, (80, 2)))


def test_a_ranker_over_padded_bags(tmp_path):
    """The length of bags taken for fixed, weights that end up beside other ids."""
    model = DLRM(embeddings("robe", 4), 2, (4,), (4,)).eval()
    out = tmp_path / "model.onnx"
    assert export_onnx(model, (torch.randn(6, 2), bags(6, 3)), out) <= 1e-5
    session = onnxruntime.InferenceSession(out)
    shapes = [("dense", ["batch", 2]), *((name, ["batch", 4, "length"]) for name in ("ids", "mask", "weights"))]
    assert [(value.name, value.shape) for value in session.get_inputs()] == shapes
    for samples, length in ((1, 1), (5, 7), (129, 2)):
        dense, own = torch.randn(samples, 2), bags(samples, length)
        feeds = {name: t.numpy() for name, t in zip(("dense", *own._fields), (dense, *own), strict=True)}
        with torch.no_grad():
            expected = model(dense, own.jagged()).numpy()
        assert np.abs(session.run(["output"], feeds)[0] - expected).max() <= 1e-5


def test_a_collection_over_padded_bags_means_and_maxima(tmp_path):
    model = embeddings("qr-add", 6, pooling="mean", padding=3)
    out = tmp_path / "model.onnx"
    assert export_onnx(model, (bags(9, 4, weighted=False),), out) <= 1e-5
    own = bags(2, 1, weighted=False)
    (got,) = onnxruntime.InferenceSession(out).run(None, {"ids": own.ids.numpy(), "mask": own.mask.numpy()})
    with torch.no_grad():
        assert np.abs(got - model(own.jagged()[:2]).numpy()).max() <= 1e-5


@pytest.fixture(scope="module")
def graph(clicks):
    model, ids, _ = clicks
    return build_graph(model, ids, range(2), 2)


def test_what_differs_from_pytorch_is_not_written(clicks, graph, tmp_path, monkeypatch):
    model, ids, rows = clicks
    monkeypatch.setattr(onnx_file, "graph_of", lambda *_: graph)  # made once, as that takes seconds
    out = tmp_path / "model.onnx"
    out.write_bytes(b"before")
    run = parity.run_onnx
    monkeypatch.setattr(parity, "run_onnx", lambda *a: run(*a) + np.float32(2e-5))
    with pytest.raises(parity.ExportError, match=r"says .* of row \d+ where PyTorch says .*nothing was written"):
        export_onnx(model, rows, out, ids=ids)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert out.read_bytes() == b"before"


@pytest.mark.parametrize(
    ("got", "expected", "error"),
    [
        ([np.nan], [0.5], parity.ExportError),
        ([np.nan], [np.nan], parity.ExportError),
        ([0.5, 0.5], [0.5], parity.ExportError),
        ([], [], UsageError),
    ],
)
def test_what_proves_nothing_is_refused(got, expected, error):
    with pytest.raises(error):
        parity.compare(np.array(got, np.float32), np.array(expected, np.float32), "it")


def test_what_no_onnx_file_holds(clicks, graph, tmp_path, monkeypatch):
    model, ids, rows = clicks
    monkeypatch.setattr(onnx_file, "graph_of", lambda *_: graph)
    monkeypatch.setattr(onnx_file, "LARGEST", 100)
    with pytest.raises(UsageError, match="holds less than 2 GB"):
        export_onnx(model, rows, tmp_path / "model.onnx", ids=ids)
    assert not list(tmp_path.iterdir())


class Branches(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_a_model_that_cannot_be_traced_is_named(tmp_path):
    with pytest.raises(UsageError, match="cannot trace this Branches"):
        export_onnx(Branches(), (torch.rand(3, 2),), tmp_path / "model.onnx")
    with pytest.raises(UsageError, match="tensors or PaddedBags"):
        export_onnx(Branches(), (3,), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


ALONE = """
import sys
sys.modules["pocketrec"] = None
import torch
model = torch.export.load(sys.argv[1]).module()
rows = torch.load(sys.argv[2])
torch.save([model(*(t[:n] for t in rows)) for n in (1, 5, 80)], sys.argv[2])
"""


def test_a_program_loads_without_pocketrec(clicks, tmp_path):
    """Operators of our own left in it, a batch size taken for fixed, names of this machine's folders."""
    model, ids, rows = clicks
    out = tmp_path / "model.pt2"
    assert export_pt2(model, rows, out, ids=ids) <= 1e-5
    torch.save(rows, tmp_path / "rows.pt")
    command = [sys.executable, "-W", "ignore", "-c", ALONE, str(out), str(tmp_path / "rows.pt")]
    subprocess.run(command, check=True)
    dense, raw = rows
    with torch.no_grad():
        translated = torch.from_numpy(ids.translate(raw.numpy()))
        expected = model(torch.log1p(dense.nan_to_num().clamp(min=0)), translated).sigmoid()
    for got in torch.load(tmp_path / "rows.pt"):
        torch.testing.assert_close(got, expected[: len(got)], atol=1e-5, rtol=0)
    assert str(onnx_file.__file__).encode() not in out.read_bytes()


@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="takes a C++ compiler")
def test_a_compiled_program(tmp_path):
    """Other rows once compiled, a batch size taken for fixed; of the smallest model, as the compiler takes long."""
    model = EmbeddingBagCollection([Table("a", None, 4)], Robe(4), memory_size=500, init=1.0).eval()
    ids, out = torch.randint(0, 200, (80, 1)), tmp_path / "model.pt2"
    assert export_pt2(model, (ids,), out, metadata={"takes": "clicks"}, compiled=True) <= 1e-5
    program = torch._inductor.aoti_load_package(str(out))
    assert program.get_metadata()["takes"] == "clicks"
    with torch.no_grad():
        torch.testing.assert_close(program(ids[:5]), model(ids[:5]), atol=1e-5, rtol=0)


def test_a_program_that_differs_is_not_written(clicks, tmp_path, monkeypatch):
    model, ids, rows = clicks
    monkeypatch.setattr(parity, "TOLERANCE", -1.0)
    with pytest.raises(parity.ExportError, match="the exported program says"):
        export_pt2(model, rows, tmp_path / "model.pt2", ids=ids)
    assert not list(tmp_path.iterdir())


def test_the_package_is_loaded_when_asked_for():
    """`pocketrec export --help` that waits for PyTorch."""
    code = "import sys, pocketrec.export; print('torch' in sys.modules, 'onnx' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "False"]
