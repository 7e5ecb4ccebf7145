"""From raw values to a probability: blanks, negative numbers, each policy of ids, columns of a log left out."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from exported import assert_plain, probabilities, session_of, weights_of

from pocketrec import EmbeddingBagCollection, Robe, Table
from pocketrec.data.ids import FilteredIds, RankedVocabulary, RawIds, Vocabulary
from pocketrec.export.graph import build_graph
from pocketrec.models import DLRM

random = np.random.default_rng(0)
KEPT = [np.unique(random.integers(0, 1 << 32, n, dtype=np.uint32)) for n in (500, 1, 40)]
NOTHING = np.zeros(0, np.uint32)
TEXT = [np.unique(random.integers(0, 1 << 62, n)) for n in (500, 1, 40)]
POLICIES = {
    "raw": RawIds(3),
    "filtered": FilteredIds.build(KEPT),
    "vocabulary": Vocabulary([*KEPT[:2], NOTHING]),
    "ranked": RankedVocabulary([random.permutation(ids) for ids in TEXT]),
}
COLUMNS = [2, 0]
"""The model's features: not all of the log's, and in another order."""


def model_for(ids, n_dense: int = 2) -> DLRM:
    torch.manual_seed(0)
    tables = [Table(f"C{column}", ids.num_embeddings[column], 8) for column in COLUMNS]
    embeddings = EmbeddingBagCollection(tables, Robe(4), memory_size=700, init=1.0, seed=5)
    return DLRM(embeddings, n_dense, (4,), (4,)).eval()


def rows(samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Known ids and their neighbours, the smallest and the largest there are; blanks and negative numbers."""
    known = [np.concatenate([own, text, own.astype(np.int64) + 1]) for own, text in zip(KEPT, TEXT, strict=True)]
    raw = np.stack([random.choice(ids, samples) for ids in known], 1).astype(np.int64)
    raw[random.random(raw.shape) < 0.1] = 0
    raw[random.random(raw.shape) < 0.1] = (1 << 62) - 1
    raw[random.random(raw.shape) < 0.1] = (1 << 32) - 1
    dense = random.integers(-3, 10_000, (samples, 2)).astype(np.float32)
    dense[random.random(dense.shape) < 0.3] = np.nan
    return dense, raw


class ByColumns:
    """A policy as the model sees it: of its own features."""

    def __init__(self, ids):
        self.ids = ids

    def translate(self, raw):
        return np.ascontiguousarray(self.ids.translate(raw)[:, COLUMNS])


@pytest.fixture(scope="module", params=sorted(POLICIES.keys() - {"raw"}))  # that one is tested without dense columns
def built(request):
    ids = POLICIES[request.param]
    model = model_for(ids)
    return model, ids, build_graph(model, ids, COLUMNS, 2)


def test_raw_rows_get_pytorchs_probability(built):
    """A filter that forgets, a search that is off by one, a column for another, a blank that is not 0."""
    model, ids, graph = built
    session = session_of(graph)
    assert [value.name for value in session.get_inputs()] == ["dense", "ids"]
    for samples in (1, 5, 600):
        dense, raw = rows(samples)
        (got,) = session.run(["probability"], {"dense": dense, "ids": raw[:, COLUMNS]})
        assert got.shape == (samples,)
        assert np.abs(got - probabilities(model, ByColumns(ids), dense, raw)).max() <= 1e-5


def test_the_graph_is_plain_and_its_weights_have_their_names(built):
    model, ids, graph = built
    assert_plain(graph.proto)
    state = model.state_dict()
    assert graph.tensors.keys() >= state.keys()
    for name in state.keys() & graph.tensors.keys():
        assert np.array_equal(graph.tensors[name], state[name].numpy()), name
    if isinstance(ids, FilteredIds):
        assert np.array_equal(graph.tensors["ids.bits"], ids.bits)


def test_placed_weights_lie_where_they_are_said_to(built):
    _, _, graph = built
    file, blob = weights_of(graph)
    outside = [t for t in onnx.load_from_string(file).graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    assert outside
    for tensor in outside:
        told = {entry.key: entry.value for entry in tensor.external_data}
        assert told["location"] == "model.safetensors"
        first, length = int(told["offset"]), int(told["length"])
        assert blob[first : first + length] == graph.tensors[tensor.name].tobytes()


def test_a_model_without_dense_columns_has_no_such_input():
    ids = POLICIES["raw"]
    model = model_for(ids, 0)
    session = session_of(build_graph(model, ids, COLUMNS, 0))
    assert [value.name for value in session.get_inputs()] == ["ids"]
    dense, raw = rows(5)
    (got,) = session.run(None, {"ids": raw[:, COLUMNS]})
    assert np.abs(got - probabilities(model, ByColumns(ids), dense[:, :0], raw)).max() <= 1e-5


def test_all_features_are_served_by_one_set_of_operators():
    """A loop over features, unrolled: a graph of thousands of nodes that takes milliseconds a row."""
    torch.manual_seed(0)
    kept = [np.arange(50) for _ in range(26)]
    ids = FilteredIds.build(kept)
    embeddings = EmbeddingBagCollection([Table(f"C{i}", None, 16) for i in range(26)], Robe(16), memory_size=9000)
    graph = build_graph(DLRM(embeddings, 13), ids, range(26), 13)
    assert len(graph.proto.graph.node) <= 140
    assert len(graph.proto.SerializeToString()) < 30_000
