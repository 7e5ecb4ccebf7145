"""Clustered compositional embeddings: when they cluster, what that does to rows, what they store; k-means."""

from __future__ import annotations

import copy

import oracles
import pytest
import torch

from pocketrec import Clustered, Embedding, EmbeddingBagCollection, Table, full_bytes, quantize_, stored_bytes
from pocketrec.ops.reference import slots_and_signs
from pocketrec.sharing.k_means import _means, k_means, nearest


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def fitted(sharing, goal):
    """An embedding trained to the rows of `goal`, and the part of their variance that it misses."""
    torch.manual_seed(0)
    module, ids = Embedding(*goal.shape, sharing=sharing, compression=4), torch.arange(len(goal))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        (module(ids) - goal).pow(2).mean().backward()
        optimizer.step()
    return module, float((module.eval()(ids) - goal).detach().var() / goal.var())


def step(module, ids):
    module.train()(ids).pow(2).sum().backward()


def test_clustering_fits_what_hashing_cannot_at_equal_bytes():
    """Rows near 8 centres: which ones are alike is nothing that a hash could know."""
    centres = torch.randn(8, 16, generator=generator())
    goal = centres[torch.randint(8, (500,), generator=generator(1))]
    goal = goal + 0.1 * torch.randn(500, 16, generator=generator(2))
    hashed, missed_by_hashes = fitted(Clustered(columns=2, times=0), goal)
    clustered, missed = fitted(Clustered(columns=2, every=12, times=6), goal)
    assert stored_bytes(clustered) == stored_bytes(hashed) <= full_bytes(hashed) / 4
    assert missed_by_hashes > 0.7
    assert missed < 0.3


@pytest.mark.parametrize("n", [129, 5000])
def test_rows_after_clustering_are_centroids_of_rows_before(n):
    """Pointers to the wrong column, an old hash read after the round, blocks or samples that mix ids up."""
    tables = [Table("small", 3, 7), Table("a", n, 7), Table("b", 2 * n, 7)]
    module = EmbeddingBagCollection(
        tables, Clustered(columns=2, sample=500), compression=4, init=1.0, dtype=torch.float64
    )
    recovery, before = module.recovery, [t.detach() for t in oracles.virtual_tables(module)]
    recovery.cluster_(module.memory)
    after = [t.detach() for t in oracles.virtual_tables(module)]
    assert torch.equal(before[0], after[0]), "kept exactly"
    assert recovery.counters.tolist() == [0, 1]
    for table in (1, 2):
        for column in (slice(0, 4), slice(4, 7)):
            rows, centroids = before[table][:, column], after[table][:, column].unique(dim=0)
            assert 2 < len(centroids) <= recovery.k
            own = (rows - after[table][:, column]).square().sum(1)
            torch.testing.assert_close(own, torch.cdist(rows, centroids).min(1).values.square())
            assert own.mean() < 0.8 * (rows - rows.mean(0)).square().sum(1).mean()


def test_columns_of_different_widths():
    tables = [Table("a", 129, 12), Table("b", 100, 7), Table("c", 1, 5)]
    module = EmbeddingBagCollection(tables, Clustered(columns=5), memory_size=400, dtype=torch.float64)
    assert module.recovery.first.tolist() == [0, 129, -1]
    expected = torch.cat([t[:1].expand(9, -1) if len(t) == 1 else t[:9] for t in oracles.virtual_tables(module)], 1)
    ids = torch.stack([torch.arange(9), torch.arange(9), torch.zeros(9, dtype=torch.int64)])
    torch.testing.assert_close(module((ids.flatten(), torch.arange(28))).flatten(1), expected)


def test_rows_of_no_more_kinds_than_centroids_survive_clustering():
    module = Embedding(1000, 8, sharing=Clustered(columns=2), compression=8, dtype=torch.float64)
    with torch.no_grad():
        for table in module.recovery._pointed:
            for column in range(2):
                module.recovery._rows(module.memory, table, column)[module.recovery.k :] = 0
    before = module(torch.arange(1000)).detach()
    for _ in range(3):
        module.recovery.cluster_(module.memory)
        torch.testing.assert_close(module(torch.arange(1000)).detach(), before)


def test_hashes_are_new_after_clustering():
    """The same hash again would sum the gradients of the same ids for ever."""
    module = Embedding(1000, 8, sharing=Clustered(columns=2), compression=8)
    ids, table = torch.arange(1000), torch.tensor(0)
    layouts = module.recovery._pointed[0].columns

    def rows():
        pieces = module.recovery.translate(ids, table)[0][..., 1]
        slots = [slots_and_signs(f, own)[0][:, 0] - f.base for f, own in zip(layouts, pieces.unbind(1), strict=True)]
        return torch.stack([s // f.dim for s, f in zip(slots, layouts, strict=True)], 1)

    first = rows()
    module.recovery.cluster_(module.memory)
    second = rows()
    for hashed in (first, second):
        assert sorted(hashed.unique().tolist()) == list(range(module.recovery.m))
        assert (hashed[:, 0] == hashed[:, 1]).float().mean() < 3 / module.recovery.m, "columns are hashed apart"
    assert (first == second).float().mean() < 3 / module.recovery.m


def test_it_clusters_when_due_and_only_in_training():
    module = Embedding(1000, 8, sharing=Clustered(columns=2, every=3, times=2), compression=8)
    ids, done = torch.arange(10), []
    for _ in range(12):
        step(module, ids)
        done.append(int(module.recovery.counters[1]))
        module.eval()(ids)
        with torch.no_grad():
            module.train()(ids)
    assert done == [0] * 3 + [1] * 3 + [2] * 6


def test_a_memory_may_be_looked_up_twice_in_a_step():
    """Clustering between two lookups must not break the backward of the first."""
    module = Embedding(1000, 8, sharing=Clustered(columns=2, every=1, times=1), compression=8)
    first, second = module(torch.arange(50)), module(torch.arange(50, 100))
    assert module.recovery.counters.tolist() == [2, 1]
    (first.sum() + second.sum()).backward()
    assert module.memory.grad.sum() == 2 * 100 * 8


@pytest.mark.parametrize("saved_after", [2, 4, 7])
def test_resumed_training_is_the_same_bit_for_bit(saved_after):
    """A counter or a hash that a checkpoint forgets."""

    def train(module, optimizer, steps):
        for i in steps:
            optimizer.zero_grad()
            module(torch.arange(i, 1000, 7)).sub(1).pow(2).sum().backward()
            optimizer.step()

    def fresh():
        torch.manual_seed(0)
        module = Embedding(1000, 8, sharing=Clustered(columns=2, every=3, times=2), compression=8)
        return module, torch.optim.Adam(module.parameters(), lr=0.1)

    straight, resumed, other = fresh(), fresh(), fresh()
    train(*straight, range(10))
    train(*resumed, range(saved_after))
    train(*other, range(5))  # was quiet about another clustering
    for part, saved in zip(other, resumed, strict=True):
        part.load_state_dict(copy.deepcopy(saved.state_dict()))
    train(*other, range(saved_after, 10))
    for name, value in straight[0].state_dict().items():
        assert torch.equal(value, other[0].state_dict()[name]), name


@pytest.mark.parametrize(("n", "dtype"), [(5000, torch.uint8), (9000, torch.int16)])
def test_pointers_are_as_small_as_they_can_be_and_count(n, dtype):
    module = Embedding(n, 64, sharing=Clustered(), compression=16 if dtype == torch.uint8 else 5)
    recovery = module.recovery
    assert recovery.pointers.dtype == dtype
    assert (recovery.k <= 256) == (dtype == torch.uint8)
    assert recovery.pointers.max() == recovery.k - 1
    assert recovery.m >= recovery.k
    assert stored_bytes(module) == 4 * module.memory.numel() + recovery.pointers.nbytes + 16
    spare = full_bytes(module) / (16 if dtype == torch.uint8 else 5) - stored_bytes(module)
    assert 0 <= spare < 4 * 64, "no room for one more hashed row"
    assert module(torch.arange(n)).shape == (n, 64)


def test_spare_bytes_become_hashed_rows_where_more_centroids_take_wider_pointers():
    module = Embedding(20_000, 16, sharing=Clustered(), compression=9)
    assert module.recovery.k == 256
    assert module.recovery.m > 1.5 * 256


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int8])
def test_the_largest_compression_is_said_and_can_be_reached(dtype):
    tables = [Table("a", 20_000, 16), Table("b", 3, 16)]

    def build(compression):
        return EmbeddingBagCollection(tables, Clustered(), compression=compression, dtype=dtype)

    with pytest.raises(ValueError, match="pointers of every id") as error:
        build(1000)
    most = float(str(error.value).split("(at most ")[1].split(")")[0])
    module = build(most)
    assert module.recovery.k == 1
    assert 15 < most < 16, "64 bytes a row, 4 bytes of pointers"
    assert stored_bytes(module) <= full_bytes(module) / most
    with pytest.raises(ValueError, match="at most"):
        build(most + 0.1)


def test_tables_that_take_no_more_in_full_are_kept_exactly():
    tables = [Table("a", 1000, 8), Table("b", 10, 8)]
    module = EmbeddingBagCollection(tables, Clustered(columns=3), compression=5)
    assert module.recovery.first.tolist() == [0, -1]
    before = module(torch.stack([torch.arange(10)] * 2, 1))[:, 1]
    assert len(before.unique(dim=0)) == 10
    whole = EmbeddingBagCollection(tables, Clustered(columns=3), compression=1)
    assert whole.recovery is None, "nothing to learn"
    assert stored_bytes(whole) == full_bytes(whole)


def test_initial_rows_are_spread_as_those_of_other_schemes():
    module = Embedding(4000, 64, sharing=Clustered(), compression=10, init=0.3)
    rows = module(torch.arange(4000)).detach()
    assert rows.var().item() == pytest.approx(0.3**2 / 3, rel=0.05)
    assert abs(rows.mean().item()) < 0.01


def test_int8_is_trained_and_served():
    module = Embedding(2000, 16, sharing=Clustered(every=1, times=2), compression=6, dtype=torch.int8, init=1.0)
    for _ in range(4):
        step(module, torch.arange(2000))
    assert module.recovery.counters[1] == 2
    expected, stored = module.eval()(torch.arange(2000)).detach(), stored_bytes(module)
    served = quantize_(module).train()
    assert torch.equal(served(torch.arange(2000)), expected), "nothing is clustered in int8"
    assert stored_bytes(served) == stored


def test_arguments():
    for name in ("columns", "every", "sample"):
        with pytest.raises(ValueError, match=rf"{name}.* at least 1"):
            Clustered(**{name: 0})
    with pytest.raises(ValueError, match=r"times.* at least 0"):
        Clustered(times=-1)
    with pytest.raises(ValueError, match="needs num_embeddings"):
        Embedding(None, 8, sharing=Clustered(), memory_size=1000)
    with pytest.raises(ValueError, match="columns=4 needs an embedding_dim of at least that, got 3"):
        Embedding(100, 3, sharing=Clustered(), memory_size=1000)


def test_weights_of_another_seed_are_refused():
    first, second = (Embedding(1000, 8, sharing=Clustered(), compression=5, seed=s) for s in (0, 1))
    with pytest.raises(RuntimeError, match="memory size or seed"):
        second.load_state_dict(first.state_dict())


@pytest.mark.parametrize("k", [1, 16, 300])
def test_k_means_finds_clusters_that_lie_apart(k):
    """Also where several centroids are drawn at once, and all points lie far from the origin."""
    centres = torch.randn(k, 3, generator=generator()) * 10 + 1000
    own = torch.arange(k).repeat(20)[torch.randperm(20 * k, generator=generator(1))]
    points = centres[own] + 1e-3 * torch.randn(20 * k, 3, generator=generator(2))
    centroids = k_means(points, k, generator())
    assert centroids.shape == (k, 3)
    _, distance = nearest(points, centroids)
    assert distance.mean() <= (1e-4 if k <= 16 else 0.02 * points.var(0).sum())
    assert torch.equal(centroids, k_means(points, k, generator())), "the same for the same generator"


def test_k_means_of_fewer_kinds_of_points_than_centroids():
    points = torch.tensor([[0.0], [1.0], [5.0]]).repeat(10, 1)
    centroids = k_means(points, 7, generator())
    index, distance = nearest(points, centroids)
    torch.testing.assert_close(centroids[index], points)
    assert distance.max() == 0


def test_an_empty_cluster_moves_to_a_point_that_is_far():
    """Lloyd's iterations alone leave it empty for ever."""
    points = torch.tensor([[0.0], [0.1], [9.0]])
    index, distance = nearest(points, torch.tensor([[0.0], [100.0]]))
    assert _means(points, index, distance, 2).tolist() == [[pytest.approx(9.1 / 3)], [9.0]]
