"""One file: what is written is read back, by us and by the libraries whose formats it is made of."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import made
import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors.numpy

from pocketrec.artifact import ArtifactError, artifact_of, offsets_of, read_artifact, write_artifact
from pocketrec.cli import main

NAMES = ["recipe.json", "model.safetensors", "model.onnx"]


@pytest.fixture
def tensors():
    return made.tensors()


@pytest.fixture
def path(tmp_path, tensors):
    path = tmp_path / "small.pocket"
    write_artifact(path, made.recipe(), tensors, made.model(tensors).SerializeToString())
    return path


def test_what_is_written_is_read(path, tensors):
    artifact = read_artifact(path)
    assert artifact.tensors.keys() == tensors.keys()
    for name, array in tensors.items():
        np.testing.assert_array_equal(artifact.tensors[name], array, strict=True)
    told = dict(artifact.recipe.told)
    assert told.pop("files").keys() == set(NAMES[1:])
    assert told == made.recipe()
    assert artifact.recipe.inputs.features == tuple(made.FEATURES)
    assert [each.kind for each in artifact.recipe.inputs.categorical] == ["hex", "integer", "text"]
    assert artifact.recipe.examples[0].row["C3"] == {"id": 9}
    assert artifact.size == path.stat().st_size


def test_info_tells_what_a_file_holds(path, tmp_path, capsys):
    """What only informs may be missing: a recipe of another writer is told all the same."""
    assert main(["info", str(path)]) == 0
    shown = capsys.readouterr().out
    for told in ("dlrm, kaggle, over robe", "2.05 kB: 512 slots in float32", "1 GB", "0.75000", "I1, I2"):
        assert told in shown
    bare = tmp_path / "bare.pocket"
    nothing = {"sizes": {}, "metrics": {}, "made_by": {}, "data": {}}
    write_artifact(bare, made.recipe() | nothing, made.tensors(), made.model(made.tensors()).SerializeToString())
    assert main(["info", str(bare)]) == 0
    bare.write_bytes(b"no artifact")
    assert main(["info", str(bare)]) == 1


def test_weights_are_aligned_views_that_nobody_can_write(path, tensors):
    """A copy of 10 MB would double what a server holds; unaligned views are slow, or a fault on some machines."""
    artifact = read_artifact(path)
    whole = np.frombuffer(artifact.contents, np.uint8)
    for array in artifact.tensors.values():
        assert np.shares_memory(array, whole)
        assert array.flags.aligned
        with pytest.raises(ValueError, match="read-only"):
            array[:1] = 0
    assert whole.ctypes.data % 64 == 0
    assert (np.frombuffer(artifact.weights, np.uint8).ctypes.data - whole.ctypes.data) % 64 == 0


def test_views_outlive_the_artifact_and_a_new_file_in_its_place(path, tensors):
    memory = read_artifact(path).tensors["memory"]
    other = made.tensors(seed=1)
    write_artifact(path, made.recipe(), other, made.model(other).SerializeToString())
    np.testing.assert_array_equal(memory, tensors["memory"])
    np.testing.assert_array_equal(read_artifact(path).tensors["memory"], other["memory"])


def test_other_readers_find_the_same(path, tensors, tmp_path):
    """A zip of stored entries, safetensors and ONNX: none of them of our own making."""
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        assert file.namelist() == NAMES
        assert {each.compress_type for each in file.infolist()} == {zipfile.ZIP_STORED}
        file.extractall(tmp_path / "unpacked")
    loaded = safetensors.numpy.load_file(tmp_path / "unpacked" / "model.safetensors")
    for name, array in tensors.items():
        np.testing.assert_array_equal(loaded[name], array, strict=True)
    # Found by onnx itself beside the graph, as external data.
    model = onnx.load(tmp_path / "unpacked" / "model.onnx")
    memory = next(each for each in model.graph.initializer if each.name == "memory")
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(memory), tensors["memory"])


def test_the_graph_runs_with_the_weights_where_they_lie(path, tensors):
    artifact, options = read_artifact(path), onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_external_initializers_from_files_in_memory(NAMES[1:2], [artifact.weights], [len(artifact.weights)])
    session = onnxruntime.InferenceSession(artifact.graph, options)
    ids = np.array([[0, 1, 2], [600, 7, 5_000_000_000]])
    (got,) = session.run(None, {"dense": np.ones((2, 2), np.float32), "ids": ids})
    logits = tensors["memory"][ids % made.SLOTS].sum(1) + 2
    np.testing.assert_allclose(got, 1 / (1 + np.exp(-logits)), rtol=1e-6)


def test_the_same_model_gives_the_same_bytes(path, tmp_path):
    tensors = made.tensors()
    again = tmp_path / "again.pocket"
    backwards = dict(reversed(tensors.items()))
    written = write_artifact(again, made.recipe(), backwards, made.model(tensors).SerializeToString())
    assert again.read_bytes() == path.read_bytes()
    assert written.sha256 == read_artifact(path).sha256


def test_dates_of_the_zip_do_not_matter(path):
    """Which is all that another program changes that stores entries as they are."""
    changed = bytearray(path.read_bytes())
    changed[10:14] = b"\x12\x34\x56\x57"
    assert artifact_of(bytes(changed)).recipe == read_artifact(path).recipe


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1, 1, 1)])
def test_shapes_at_the_edge(tmp_path, shape):
    tensors = made.tensors() | {"edge": np.full(shape, 2.5, np.float32)}
    artifact = write_artifact(tmp_path / "e.pocket", made.recipe(), tensors, made.model(tensors).SerializeToString())
    np.testing.assert_array_equal(artifact.tensors["edge"], tensors["edge"], strict=True)


def test_offsets_are_those_of_the_file(path, tensors):
    weights = read_artifact(path).weights
    for name, (offset, length) in offsets_of(tensors).items():
        assert bytes(weights[offset : offset + length]) == tensors[name].tobytes()


@pytest.mark.parametrize(
    ("tensors", "recipe", "said"),
    [
        ({"memory": np.full(512, np.nan, np.float32)}, {}, "memory holds NaN"),
        ({"half": np.full((300, 2), np.inf, np.float16)}, {}, "half holds NaN or infinity"),
        ({"memory/1": np.zeros(3, np.float32)}, {}, "called 'memory/1'"),
        ({"truth": np.zeros(3, np.bool_)}, {}, "truth of bool"),
        ({}, {"name": "../up"}, "a name, not a path"),
        ({}, {"version": 2}, "version is 2"),
    ],
)
def test_what_could_not_be_read_is_not_written(tmp_path, tensors, recipe, said):
    """And what was there stays."""
    path = tmp_path / "kept.pocket"
    path.write_bytes(b"what was there")
    arrays = made.tensors() | tensors
    with pytest.raises(ArtifactError, match=said):
        write_artifact(path, made.recipe() | recipe, arrays, made.model(made.tensors() | arrays).SerializeToString())
    assert path.read_bytes() == b"what was there"
    assert list(tmp_path.iterdir()) == [path]


def test_reading_takes_no_more_than_numpy():
    """A server without torch must start, and fast."""
    code = "import sys, pocketrec.artifact; print(*{name.split('.')[0] for name in sys.modules})"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(out.stdout.split()) & {"torch", "onnx", "onnxruntime", "polars", "safetensors", "pandas"}
