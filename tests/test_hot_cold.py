"""Hot and cold ids: who becomes hot, what its row is then, and what is kept when a run goes on elsewhere."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from lookups import materialise

from pocketrec import Clustered, EmbeddingBag, EmbeddingBagCollection, HotCold, Robe, Table


def collection(rows: int | None = 20_000, dims: tuple[int, ...] = (8, 8), **options):
    tables = [Table(f"t{i}", rows, d) for i, d in enumerate(dims)]
    return EmbeddingBagCollection(tables, HotCold(Robe(4), **options), memory_size=6000)


def skewed(samples: int = 512, features: int = 2, rows: int = 20_000):
    """Small ids come most often."""
    return (torch.rand(samples, features, dtype=torch.float64) ** 8 * rows).long()


def share_of_hot(module, ids):
    tables = torch.arange(ids.shape[1])
    places = module.recovery.translate(ids, tables)[0].flatten(1)
    return float((places < module.recovery.buckets * module.sharing.ways).double().mean())


def test_frequent_ids_become_hot():
    """Nearly the share of lookups that the most frequent ids would get if their counts were known."""
    torch.manual_seed(0)
    module = collection()
    for _ in range(60):
        module(skewed())
    hot_rows = module.recovery.sketch.keys.shape[0] * module.sharing.ways
    best = (hot_rows / 2 / 20_000) ** (1 / 8)
    assert share_of_hot(module, skewed(4096)) > 0.95 * best


def test_it_forgets():
    """Other ids come now: with counts that never fade, the old ones would stay for as long as they were seen."""
    torch.manual_seed(0)
    module, lasting = (collection(every=5, fading=f) for f in (0.5, 1.0))
    for shift in (0, 10_000):
        for _ in range(40):
            ids = (skewed() + shift) % 20_000
            module(ids), lasting(ids)
    now = (skewed(4096) + 10_000) % 20_000
    assert share_of_hot(module, now) > share_of_hot(lasting, now) + 0.05


def test_an_id_that_becomes_hot_keeps_its_row():
    """Its place held another id's row, or none; a jump here would undo what was learned."""
    torch.manual_seed(0)
    module = collection()
    expected = [t.detach().clone() for t in materialise(module.eval())]
    module.train()(torch.arange(20).expand(2, -1).T)
    assert share_of_hot(module, torch.arange(20).expand(2, -1).T) > 0.5
    for own, before in zip(materialise(module.eval()), expected, strict=True):
        assert torch.equal(own, before)


def test_hot_ids_train_apart_from_all_others():
    module = collection()
    ids = torch.zeros(4, 2, dtype=torch.int64)
    module(ids).sum().backward()
    touched = module.memory.grad.nonzero().flatten()
    assert len(touched) == 2 * 8
    assert touched.max() < module.recovery.sketch.keys.shape[0] * module.sharing.ways * 8


def test_evaluation_and_frozen_memories_learn_nothing():
    module = collection()
    module.eval()(skewed())
    with torch.no_grad():
        module.train()(skewed())
    assert not module.recovery.sketch.keys.any()


def test_looked_up_twice_before_the_backward():
    """The second lookup makes other ids hot and writes their rows; autograd must not take that for a mistake."""
    module = collection()
    first, second = module(skewed()), module(skewed())
    (first.sum() * second.sum()).backward()
    assert module.memory.grad.isfinite().all()


def test_resumed_it_goes_on_as_if_it_had_not_stopped():
    torch.manual_seed(0)
    batches = [skewed() for _ in range(20)]
    module = collection(every=3)
    for ids in batches[:10]:
        module(ids)
    resumed = collection(every=3)
    resumed.load_state_dict(copy.deepcopy(module.state_dict()))
    for ids in batches[10:]:
        assert torch.equal(module(ids), resumed(ids))
    for name, value in module.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_open_ended_tables_up_to_the_last_id():
    module = collection(rows=None)
    ids = torch.tensor([[0, 2**62 - 1], [2**62 - 1, 2**61], [7, 7]])
    trained = module(ids)
    assert torch.equal(module.eval()(ids), trained)
    assert share_of_hot(module, ids) > 0.5


def test_widths_have_hot_rows_of_their_own():
    module = collection(dims=(8, 2, 8))
    torch.manual_seed(0)
    for _ in range(5):
        module(skewed(features=3))
    narrow, wide = 2 * module.recovery.buckets[1], module.recovery.buckets[0]
    assert narrow > 0
    assert wide > 0
    module(skewed(features=3)).sum().backward()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hot": 1.0}, r"hot must be a number in \(0, 1\)"),
        ({"fading": 0.0}, r"fading must be a number in \(0, 1\]"),
        ({"ways": 0}, "ways"),
        ({"cold": Robe(hash="authors")}, "cold: must be a Robe"),
        ({"cold": Robe(num_hashes=2)}, "with one hash"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        HotCold(**options)


def test_a_budget_without_room_for_hot_rows_says_what_it_takes():
    with pytest.raises(ValueError, match=r"hot rows .* it takes at least (\d+)") as told:
        EmbeddingBagCollection([Table("t", 1000, 8)], HotCold(), memory_size=60)
    least = int(re.search(r"at least (\d+)", str(told.value))[1])
    EmbeddingBagCollection([Table("t", 1000, 8)], HotCold(), memory_size=least)


@pytest.mark.parametrize("options", [{"cold": Robe(16), "hot": 0.9}, {"cold": Robe(64), "hot": 0.1}, {"ways": 16}])
def test_whatever_does_not_fit_the_memory_named_does(options):
    """Also where it is the cold part that is too small, or both in turn."""
    tables = [Table("a", 1000, 64), Table("b", 1000, 8)]
    for slots in (1, 50, 100, 400):
        with pytest.raises(ValueError, match="takes at least") as told:
            EmbeddingBagCollection(tables, HotCold(**options), memory_size=slots)
        least = int(re.search(r"at least (\d+)", str(told.value))[1])
        EmbeddingBagCollection(tables, HotCold(**options), memory_size=least)
        with pytest.raises(ValueError, match="takes at least"):
            EmbeddingBagCollection(tables, HotCold(**options), memory_size=least - 1)


HOT, CLUSTERED = HotCold(Robe(4), every=1), Clustered(columns=2, every=1, times=1)


def looked_up_twice(sharing, mode, weighted=False):
    """Gradients of a first lookup before and after a second, which moves rows."""
    torch.manual_seed(0)
    bag = EmbeddingBag(300, 8, mode=mode, sharing=sharing, compression=3, dtype=torch.float64, init=0.5)
    ids, other = torch.randint(0, 300, (20, 4)), torch.randint(0, 300, (20, 4))
    weights = torch.rand(20, 4, dtype=torch.float64, requires_grad=True) if weighted else None
    by = [bag.memory, weights] if weighted else [bag.memory]
    first = bag(ids, per_sample_weights=weights)
    alone = torch.autograd.grad(first.sum(), by, retain_graph=True)
    bag(other)
    return alone, torch.autograd.grad(first.sum(), by)


@pytest.mark.parametrize(
    ("sharing", "mode"), [(HOT, "sum"), (HOT, "mean"), *((CLUSTERED, m) for m in ("sum", "mean", "max"))]
)
def test_a_lookup_that_moves_rows_leaves_gradients_of_earlier_ones_alone(sharing, mode):
    for one, same in zip(*looked_up_twice(sharing, mode), strict=True):
        assert torch.equal(one, same)


@pytest.mark.parametrize(
    ("sharing", "mode", "weighted"), [(HOT, "max", False), (HOT, "sum", True), (CLUSTERED, "sum", True)]
)
def test_gradients_that_would_read_rows_that_were_moved_are_refused(sharing, mode, weighted):
    """Silently, they would be those of other rows than were looked up."""
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        looked_up_twice(sharing, mode, weighted)
