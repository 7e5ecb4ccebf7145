"""compress_, fit_ and memory_report: through the public API, against torch's own modules."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import pytest
import torch
from lookups import materialise
from torch import nn

import pocketrec
from pocketrec import (
    EmbeddingBag,
    Full,
    HashingTrick,
    HotCold,
    LowRank,
    Robe,
    Table,
    TransformCoding,
    compress_,
    fit_,
    full_bytes,
    memory_report,
    quantize_,
    stored_bytes,
)
from pocketrec.ops.layout import from_tensor
from pocketrec.ops.reference import slots_and_signs


class Ranker(nn.Module):
    """Embeddings of both kinds, one used twice, one with a tied output head."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.users = nn.Embedding(5000, 16, padding_idx=0)
        self.towers = nn.ModuleDict({"bags": nn.EmbeddingBag(3000, 8, mode="mean", include_last_offset=True)})
        self.again = self.users
        self.tiny = nn.Embedding(3, 2)
        self.words = nn.Embedding(100, 8)
        self.head = nn.Linear(8, 100, bias=False)
        self.head.weight = self.words.weight

    def forward(self, users, items, offsets):
        return self.users(users), self.again(users), self.towers["bags"](items, offsets)


def test_a_model_is_swapped_in_place_and_the_report_says_what_was_kept():
    model = Ranker()
    report = compress_(model, Robe(4), compression=20)
    assert report.swapped == ("users", "towers.bags")
    assert model.users is model.again, "a module used twice stays one module"
    assert "head" in report.kept["words"]
    assert "at least" in report.kept["tiny"]
    assert isinstance(model.words, nn.Embedding)
    assert model.users.memory.numel() == 5000 * 16 // 20
    assert report.before.total.stored_bytes == 4 * (80_000 + 24_000 + 6 + 800)
    assert report.after.total.stored_bytes == 4 * (4000 + 1200 + 6 + 800)
    assert "kept words" in str(report)
    users, again, items = model(torch.tensor([[1, 0], [4999, 2]]), torch.tensor([5, 2, 7]), torch.tensor([0, 1, 3]))
    assert users.shape == (2, 2, 16)
    assert torch.equal(users, again)
    assert not users[0, 1].any(), "the padding row is zero"
    assert items.shape == (2, 8)


@pytest.mark.parametrize(
    "sharing", [Robe(4), Robe(4, signed=True), Robe(3, hash="linear", signed=True), HashingTrick()]
)
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_fit_is_the_least_squares(sharing, mode):
    """Against torch's own solver, on the matrix that says which slot serves which element."""
    torch.manual_seed(0)
    weight = torch.randn(60, 6, dtype=torch.float64)
    bag = EmbeddingBag(60, 6, mode=mode, sharing=sharing, memory_size=40, padding_idx=2, dtype=torch.float64)
    start = bag.memory.detach().clone()
    fit_(bag, weight)
    slots, signs = slots_and_signs(from_tensor(bag.layout)[0], torch.arange(60))
    system = torch.zeros(360, bag.memory.numel(), dtype=torch.float64)
    system[torch.arange(360), slots.reshape(-1)] = signs.reshape(-1).double()
    system[12:18] = 0  # the padding row counts for nothing
    served = system.abs().sum(0) > 0
    best = torch.linalg.lstsq(system[:, served], weight.reshape(-1, 1)).solution[:, 0]
    torch.testing.assert_close(bag.memory.detach()[served], best, rtol=1e-4, atol=1e-5)
    assert torch.equal(bag.memory.detach()[~served], start[~served])


def test_fitting_without_compression_gives_the_table_back():
    model = nn.Sequential(nn.Embedding(50, 4))
    trained = model[0].weight.detach().clone()
    compress_(model, HashingTrick(), compression=1, fit=True)
    torch.testing.assert_close(model[0](torch.arange(50)), trained)


def test_fit_comes_nearer_than_chance_at_every_size():
    torch.manual_seed(0)
    trained = nn.Sequential(nn.Embedding(2000, 8))
    error = {}
    for times in (2, 10, 100):
        model = copy.deepcopy(trained)
        compress_(model, compression=times, fit=True)
        (rows,) = materialise(model[0])
        error[times] = (rows - trained[0].weight).pow(2).mean().item()
    assert error[2] < error[10] < error[100] < trained[0].weight.pow(2).mean().item()


def test_types_and_devices_and_modes_are_kept():
    model = nn.Sequential(nn.Embedding(500, 8, dtype=torch.bfloat16), nn.EmbeddingBag(500, 8, device="meta"))
    model[0].weight.requires_grad_(False)
    model.eval()
    compress_(model, compression=10)
    assert model[0].memory.dtype == torch.bfloat16
    assert model[0].memory.numel() == 800, "compression counts bytes: half precision has twice the slots"
    assert not model[0].memory.requires_grad
    assert not model[0].training
    assert model[1].memory.is_meta


def test_where_chooses():
    model = Ranker()
    report = compress_(model, compression=10, where=lambda name, module: name.startswith("towers"))
    assert report.swapped == ("towers.bags",)
    assert isinstance(model.users, nn.Embedding)


def test_kept_for_their_arguments():
    class Own(nn.Embedding):
        pass

    model = nn.Sequential(
        nn.Embedding(900, 4, max_norm=1.0), nn.Embedding(900, 4, scale_grad_by_freq=True), Own(900, 4)
    )
    report = compress_(model, compression=2)
    assert not report.swapped
    assert [*report.kept] == ["0", "1", "2"]
    assert "max_norm" in report.kept["0"]
    assert "scale_grad_by_freq" in report.kept["1"]
    assert "subclass" in report.kept["2"]


class Regularised(nn.Module):
    """Keeps weights as DeepCTR-Torch does, in a list made when the model was built; and in shapes like it."""

    def __init__(self):
        super().__init__()
        self.items = nn.Embedding(5000, 16)
        self.dense = nn.Linear(16, 1)
        self.penalties = [([self.items.weight, self.dense.weight], 1e-5), ("items", self.items.weight)]
        self.penalties.append(self.penalties)
        self.by_name = {"items": self.items.weight, "rate": 0.1}
        self.words = ["a", "b"]

    def penalty(self):
        return sum(w.pow(2).sum() for w in self.penalties[0][0])


def test_lists_of_weights_hold_the_memories_afterwards():
    """Else the old table stays in memory for ever, and its norm in the loss."""
    model = Regularised()
    table = weakref.ref(model.items.weight)
    report = compress_(model, compression=10)
    told = "weights in it were swapped, and it holds their memories now"
    assert report.elsewhere == {"penalties": f"2 {told}", "by_name": f"1 {told}"}
    assert f"penalties: 2 {told}" in str(report)
    assert model.penalties[0][0][0] is model.penalties[1][1] is model.by_name["items"] is model.items.memory
    assert model.penalties[0][0][1] is model.dense.weight
    model.penalty().backward()
    assert model.items.memory.grad is not None
    gc.collect()
    assert table() is None, "nobody keeps the table alive"


def test_an_optimiser_within_the_model_is_told_of():
    model = Regularised()
    model.optimizer = torch.optim.SGD(model.parameters())
    assert compress_(model, compression=10).elsewhere["optimizer"] == (
        "an optimiser that steps 1 weights that were swapped: make it anew"
    )


def test_a_weight_that_is_also_a_plain_attribute_is_kept():
    """As in a head that is tied by hand: what reads the attribute wants the table."""
    model = Regularised()
    model.__dict__["head"] = model.items.weight
    report = compress_(model, compression=10)
    assert report.kept == {"items": "its weight is also held as head, whose readers need the whole table"}
    assert isinstance(model.items, nn.Embedding)
    assert model.by_name["items"] is model.items.weight


def test_the_report_counts_optimiser_state_and_prints_a_table():
    model = Ranker()
    compress_(model, compression=20)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.tensor([1]), torch.tensor([5]), torch.tensor([0, 1]))[0].sum().backward()
    optimizer.step()
    report = memory_report(model, optimizer)
    by_name = {w.name: w for w in report.weights}
    assert by_name["users"].optimizer_bytes == 4 + 2 * 4 * 4000, "the step, and two numbers a slot"
    assert report.total.full_bytes == 4 * (80_000 + 24_000 + 6 + 800)
    assert "in all" in str(report).splitlines()[-1]
    assert "Robe" in str(report)


REFUSED = {
    "an embedding itself": (lambda: compress_(nn.Embedding(9, 4), compression=2), "itself an embedding"),
    "nothing to swap": (lambda: compress_(nn.Linear(2, 2), compression=2), "no nn.Embedding or nn.EmbeddingBag"),
    "another shape": (lambda: fit_(EmbeddingBag(9, 4, memory_size=16), torch.zeros(9, 5)), r"shape \(9, 4\)"),
    "full tables": (lambda: fit_(EmbeddingBag(9, 4, sharing=Full()), torch.zeros(9, 4)), "full tables"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused(case):
    build, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        build()


def test_embeddings_of_one_weight_share_a_memory():
    """An encoder and a decoder that look up the same table; two memories would learn apart."""
    model = nn.ModuleDict(
        {"encoder": nn.Embedding(500, 8), "decoder": nn.Embedding(500, 8), "bag": nn.EmbeddingBag(500, 8)}
    )
    model["decoder"].weight = model["bag"].weight = model["encoder"].weight
    trained = copy.deepcopy(model)
    for sharing in (Robe(8), LowRank(), HashingTrick()):
        own = copy.deepcopy(trained)
        report = compress_(own, sharing, compression=3, fit=True)
        assert report.swapped == ("encoder", "decoder", "bag")
        assert report.before.total.stored_bytes == 500 * 8 * 4
        assert report.after.total.stored_bytes <= 500 * 8 * 4 / 3, "counted once"
        ids = torch.arange(20)
        assert torch.equal(own["encoder"](ids), own["decoder"](ids))
        torch.testing.assert_close(own["bag"](ids[:, None]), own["encoder"](ids))
        own["bag"](ids[:, None]).sum().backward()
        with torch.no_grad():
            for parameter in own.parameters():
                parameter -= parameter.grad
        assert torch.equal(own["encoder"](ids), own["decoder"](ids))
        torch.testing.assert_close(own.double()["bag"](ids[:, None]), own["encoder"](ids))


@pytest.mark.parametrize("sharing", [Robe(8), LowRank(), TransformCoding()], ids=str)
def test_what_tied_embeddings_keep_is_kept_once_whatever_becomes_of_it(sharing):
    """Buffers, which PyTorch moves one module at a time: codes, and memories in integers."""
    model = nn.ModuleDict({"one": nn.Embedding(500, 16), "bag": nn.EmbeddingBag(500, 16, mode="sum")})
    model["bag"].weight = model["one"].weight
    compress_(model, sharing, compression=5, fit=True)
    assert stored_bytes(model) == memory_report(model).total.stored_bytes <= 500 * 16 * 4 / 5
    assert full_bytes(model) == 500 * 16 * 4
    if not isinstance(sharing, TransformCoding):
        quantize_(model)
        assert memory_report(model).total.stored_bytes == stored_bytes(model)
    stored, expected = stored_bytes(model), model["one"](torch.arange(9))
    projection = sum(p.numel() * p.element_size() for p in model.parameters())  # of low rank, which stays in floats
    for own in (copy.deepcopy(model), copy.deepcopy(model).double(), pickle.loads(pickle.dumps(model))):
        assert stored_bytes(own) <= stored + projection
        torch.testing.assert_close(own["bag"](torch.arange(9)[:, None]).float(), expected)
    if hasattr(model["one"], "memory"):
        model.to("meta")
        assert model["one"].memory is model["bag"].memory


@pytest.mark.parametrize("norm", [nn.utils.parametrizations.weight_norm, nn.utils.weight_norm])
@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_an_embedding_whose_weight_is_computed_is_kept_and_weighed(norm):
    model = nn.ModuleDict({"normed": norm(nn.Embedding(500, 8)), "plain": nn.Embedding(500, 8)})
    assert memory_report(model).total.full_bytes == 2 * 500 * 8 * 4
    report = compress_(model, compression=10)
    assert report.swapped == ("plain",)
    assert "normed" in report.kept


def test_the_report_lists_the_tables_that_share_a_memory():
    """Which table is large is what people look for; what each stores is not a thing of its own."""
    tables = [Table("user", 1000, 8), Table("page", None, 8)]
    module = pocketrec.EmbeddingBagCollection(tables, Robe(8), memory_size=100)
    (weight,) = memory_report(module).weights
    assert weight.tables == (("user", 1000 * 8 * 4), ("page", None))
    lines = str(memory_report(module)).splitlines()
    assert lines[2].split() == ["user", "table", "32", "kB", "shared"]
    assert lines[3].split() == ["page", "table", "open-ended", "shared"]


def test_what_asks_a_memory_for_its_weight_is_told_what_to_do():
    """As `x @ embedding.weight.T` does, of which `compress_` cannot know."""
    module = pocketrec.Embedding(500, 8, compression=10)
    with pytest.raises(AttributeError, match=r"Embedding has no weight.*torch.arange\(num_embeddings\)"):
        _ = module.weight


def test_embeddings_of_one_weight_that_cannot_share_a_memory_are_kept():
    model = nn.ModuleDict({"a": nn.Embedding(500, 8), "b": nn.EmbeddingBag(500, 8), "c": nn.Embedding(500, 8)})
    model["b"].weight = model["a"].weight
    report = compress_(model, HotCold(), compression=3)
    assert report.swapped == ("c",)
    assert "learns a map" in report.kept["a"] == report.kept["b"]
    model["b"].padding_idx = 3
    assert "another padding_idx" in compress_(model, where=lambda name, _: name != "c", compression=3).kept["b"]
    assert "also that of b" in compress_(model, where=lambda name, _: name == "a", compression=3).kept["a"]


def test_a_module_at_two_places_is_swapped_at_both_though_one_was_named():
    model = nn.ModuleDict({"a": nn.Embedding(500, 8)})
    model["b"] = model["a"]
    compress_(model, compression=3, where=lambda name, _: name == "b")
    assert model["a"] is model["b"]
    assert isinstance(model["a"], pocketrec.Embedding)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sharing": "robe", "compression": 10}, "is a scheme, not a word"),
        ({"sharing": Robe, "compression": 10}, r"write Robe\(\)"),
        ({"sharing": Full(), "compression": 1}, "stores every row"),
        ({"sharing": TransformCoding(), "compression": 10}, "pass fit=True"),
        ({"compression": 0.5}, "must be a number in"),
        ({"compression": "10"}, "must be a number in"),
        ({"compression": 10, "seed": -1}, "seed must be at least 0"),
    ],
)
def test_what_is_wrong_for_every_table_is_an_error(arguments, message):
    """Not a report that keeps all of them."""
    model = nn.ModuleDict({"a": nn.Embedding(500, 8)})
    with pytest.raises(ValueError, match=message):
        compress_(model, **arguments)
    assert isinstance(model["a"], nn.Embedding)


def test_a_module_with_hooks_is_kept():
    model = nn.ModuleDict({"a": nn.Embedding(500, 8)})
    model["a"].register_forward_hook(lambda *_: None)
    assert "has hooks" in compress_(model, compression=10).kept["a"]
