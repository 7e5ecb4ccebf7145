"""Every ranker of `pocketrec train` in a graph, in its smallest size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from exported import assert_plain, embeddings, random_ids, session_of
from rankers import SMALL

from pocketrec.export.graph import graph_of
from pocketrec.export.tracing import called
from pocketrec.models import MODELS


def ranker(name: str):
    """With linear weights of ids where it has any, and no weight 0."""
    weights = {"first_order": embeddings("robe", 1, seed=1)} if MODELS[name].first_order else {}
    torch.manual_seed(0)
    model = SMALL[name](embeddings("robe", 3), 2, **weights).eval()
    for parameter in (p for n, p in model.named_parameters() if not n.endswith("memory")):
        torch.nn.init.normal_(parameter, 0, 0.5)
    return model


class Together(torch.nn.Module):
    """Rankers of the same rows: one export for all of them."""

    def __init__(self, models):
        super().__init__()
        self.models = torch.nn.ModuleList(models)

    def forward(self, dense, ids):
        return torch.stack([model(dense, ids) for model in self.models], 1)


@pytest.fixture(scope="module")
def rankers():
    models = {name: ranker(name) for name in MODELS}
    together = Together(models.values())
    graph = graph_of(called(together, [torch.rand(3, 2), random_ids(3)]), together)
    return models, session_of(graph), graph


@pytest.mark.parametrize("samples", [1, 5, 129])
@pytest.mark.parametrize("name", MODELS)
def test_a_ranker_in_a_graph(rankers, name, samples):
    models, session, _ = rankers
    dense, ids = torch.randn(samples, 2), random_ids(samples)
    with torch.no_grad():
        expected = models[name](dense, ids).sigmoid().numpy()
    out = session.run(None, {"dense": dense.numpy(), "ids": ids.numpy()})[0]
    got = 1 / (1 + np.exp(-out[:, list(models).index(name)].astype(np.float64)))
    assert np.abs(got - expected).max() <= 1e-5


def test_plain_operators(rankers):
    assert_plain(rankers[2].proto)
