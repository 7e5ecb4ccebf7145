"""The engine of C++ and NumPy says what PyTorch says, for every ids policy and scheme it takes; it refuses the rest."""

from __future__ import annotations

import numpy as np
import pytest
import small_dlrm as small

from pocketrec import Full, HashedNets, HashingTrick, MultiHash, Robe
from pocketrec.artifact import ArtifactError, read_artifact
from pocketrec.errors import UsageError
from pocketrec.runtime import load, native_library
from pocketrec.runtime.native_engine import NativeEngine

pytestmark = pytest.mark.skipif(native_library.library() is None, reason="no C++ compiler built the native library")


def differences(tmp_path, policy, sharing=None, **options):
    """The engine's scores less PyTorch's, of 300 rows at once and of the first alone."""
    ids = small.policy(policy)
    model = small.dlrm(ids, sharing, **options)
    loaded = load(small.write(tmp_path / "small.pocket", model, ids), engine="native")
    dense, raw = small.rows(300)
    wanted = small.expected(model, ids, dense, raw)
    assert loaded.engine == "native"
    assert wanted.std() > 0.01
    return np.abs(np.append(loaded.score(dense, raw) - wanted, loaded.score(dense[:1], raw[:1]) - wanted[:1]))


@pytest.mark.parametrize("policy", ["raw", "filtered", "vocabulary", "ranked"])
def test_every_ids_policy(tmp_path, policy):
    assert differences(tmp_path, policy).max() < 1e-6


@pytest.mark.parametrize(
    "sharing",
    [
        Robe(chunk_size=3),
        Robe(chunk_size=8, hash="linear", signed=True),
        Robe(chunk_size=4, signed=True, align=4),
        HashedNets(),
        HashingTrick(),
        Full(),
    ],
    ids=repr,
)
def test_every_scheme_that_a_layout_tells(tmp_path, sharing):
    """300 ids under a budget of 1009 slots: chunks wrap round the end, and small tables are kept exactly."""
    assert differences(tmp_path, "vocabulary", sharing).max() < 1e-6


def test_a_memory_of_int8(tmp_path):
    assert differences(tmp_path, "raw", bits=8).max() < 1e-6


def test_a_memory_of_float16(tmp_path):
    ids = small.policy("raw")
    model = small.dlrm(ids)
    memory = model.embeddings.memory
    half = memory.detach().numpy().astype(np.float16)
    memory.data.copy_(memory.new_tensor(half.astype(np.float32)))
    path = small.write(tmp_path / "half.pocket", model, ids, tensors={"embeddings.memory": half})
    dense, raw = small.rows(50)
    difference = load(path, "native").score(dense, raw) - small.expected(model, ids, dense, raw)
    assert np.abs(difference).max() < 1e-6


def refused(tmp_path, ids=None, **changes):
    """The artifact, which `auto` must give to onnxruntime."""
    ids = ids or small.policy("raw")
    path = small.write(tmp_path / "other.pocket", small.dlrm(ids), ids, **changes)
    assert NativeEngine.of(read_artifact(path)) is None
    assert load(path).engine == "onnx"
    with pytest.raises(UsageError, match="engine='onnx'"):
        load(path, engine="native")


def test_what_it_does_not_take_goes_to_onnxruntime(tmp_path):
    refused(tmp_path, told={"model": {"ranker": "dcn-v2", "preset": "kaggle", "dense": 3}})
    refused(tmp_path, told={"sharing": {"scheme": "qr", "options": {}, "seed": 0}})
    refused(tmp_path, told={"sharing": {"scheme": "robe", "options": {"num_hashes": 2}, "seed": 0}})
    refused(tmp_path, tensors={"top.2.bias": None})
    refused(tmp_path, tensors={"embeddings.layout": None})
    refused(tmp_path, tensors={"embeddings.memory": np.zeros(600, np.uint8)})


def test_two_hashes_are_not_taken_for_one(tmp_path):
    """Their layout alone would do, and give other rows."""
    ids = small.policy("raw")
    path = small.write(tmp_path / "sums.pocket", small.dlrm(ids, MultiHash()), ids)
    assert load(path).engine == "onnx"


@pytest.mark.parametrize(
    ("place", "value"), [(6, 10**6), (7, 1 << 40), (8, 0), (9, -1), (10, 1 << 30), (12 + 7, 5), (0, 9), (4, 3)]
)
def test_a_hostile_layout_is_refused(tmp_path, place, value):
    """Else rows would be read from outside the memory."""
    ids = small.policy("raw")
    model = small.dlrm(ids)
    layout = model.embeddings.layout.numpy().copy()
    layout[1, place] = value
    if place == 19:
        layout[1, 18] = 10**6
    path = small.write(tmp_path / "hostile.pocket", model, ids, tensors={"embeddings.layout": layout})
    with pytest.raises(ArtifactError, match="layout does not fit"):
        load(path, engine="native")


@pytest.mark.parametrize("more", [10**6, -3])
def test_rows_of_a_ranked_vocabulary_outside_the_tables(tmp_path, more):
    ids = small.policy("ranked")
    rows = small.id_map_tensors(ids)["ids.rows"]
    path = small.write(
        tmp_path / "wild.pocket", small.dlrm(ids, Full()), ids, tensors={"ids.rows": rows + np.int32(more)}
    )
    with pytest.raises(ArtifactError, match=r"ids.rows has rows outside the tables"):
        load(path, engine="native")


@pytest.mark.parametrize("name", ["raw", "vocabulary"])
def test_an_id_map_that_gives_more_than_the_tables_have(tmp_path, name):
    """Refused before a request meets such an id."""
    ids = small.policy(name)
    model = small.dlrm(ids)
    layout = model.embeddings.layout.numpy().copy()
    layout[1, 1] = 2
    path = small.write(tmp_path / "short.pocket", model, ids, tensors={"embeddings.layout": layout})
    with pytest.raises(ArtifactError, match="ids that lie outside the tables"):
        load(path, engine="native")


@pytest.mark.parametrize(
    ("name", "tensor"), [("filtered", "ids.bits"), ("vocabulary", "ids.kept"), ("ranked", "ids.rows")]
)
def test_tensors_that_are_long_and_hold_nothing(tmp_path, name, tensor):
    """Of shape (n, 0): `len` says n, and C++ would read n items that are not there."""
    ids = small.policy(name)
    held = small.id_map_tensors(ids)[tensor]
    refused(tmp_path, ids=ids, tensors={tensor: np.zeros((len(held), 0), held.dtype)})


def test_scales_that_are_long_and_hold_nothing(tmp_path):
    ids = small.policy("raw")
    model = small.dlrm(ids, bits=8)
    scales = np.zeros((len(model.embeddings.scales), 0), np.float32)
    path = small.write(tmp_path / "x.pocket", model, ids, tensors={"embeddings.scales": scales})
    assert NativeEngine.of(read_artifact(path)) is None


def test_layers_that_do_not_fit(tmp_path):
    ids = small.policy("raw")
    for name, shape, told in (
        ("bottom.0.weight", (16, 4), "take and give"),
        ("top.2.weight", (8, 21), "does not fit the layer before"),
    ):
        path = small.write(tmp_path / "x.pocket", small.dlrm(ids), ids, tensors={name: np.zeros(shape, np.float32)})
        with pytest.raises(ArtifactError, match=told):
            load(path, engine="native")


def test_tables_of_two_widths_are_not_a_dlrm(tmp_path):
    ids = small.policy("raw")
    layout = small.dlrm(ids).embeddings.layout.numpy().copy()
    layout[0, 3] = 4
    refused(tmp_path, tensors={"embeddings.layout": layout})
