"""Other people's objects and files: TorchRec's batches by their shape, the authors' checkpoints, safetensors."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass

import numpy as np
import pytest
import safetensors.torch
import torch
from lookups import ALL, collection, random_bags
from torch import Tensor, nn

from pocketrec import EmbeddingBag, EmbeddingBagCollection, Robe, Table, quantize_
from pocketrec.embedding import load_authors_
from pocketrec.models import MODELS, ranker_named


@dataclass
class Batch:
    """The methods of torchrec's KeyedJaggedTensor that we rely on, and no more."""

    names: list[str]
    ids: Tensor
    starts: Tensor
    weights: Tensor | None = None

    def keys(self) -> list[str]:
        return self.names

    def values(self) -> Tensor:
        return self.ids

    def offsets(self) -> Tensor:
        return self.starts

    def weights_or_none(self) -> Tensor | None:
        return self.weights


TABLES = [Table("a", 20, 4), Table("b", 30, 8, ("b1", "b2")), Table("c", 5, 4)]


def keyed(module, names, samples=7, weighted=False):
    """A batch with keys in the order of `names`, and the bags of the module's features in the module's own order."""
    ids, offsets = random_bags(module, samples)
    weights = torch.rand(len(ids), dtype=torch.float64) if weighted else None
    bounds = offsets[::samples].tolist()
    spans = {name: slice(*bounds[i : i + 2]) for i, name in enumerate(module.feature_names)}
    lengths = dict(zip(module.feature_names, offsets.diff().split(samples), strict=True))
    other = torch.tensor([10**9, -1]), torch.tensor([2] + [0] * (samples - 1)), torch.zeros(2, dtype=torch.float64)
    parts = [
        (ids[spans[n]], lengths[n], None if weights is None else weights[spans[n]]) if n in spans else other
        for n in names
    ]
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), torch.cat([p[1] for p in parts]).cumsum(0)])
    own = torch.cat([p[2] for p in parts]) if weighted else None
    return Batch(names, torch.cat([p[0] for p in parts]).int(), starts.int(), own), (ids, offsets, weights)


@pytest.mark.parametrize("scheme", ALL)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("names", [["a", "b1", "b2", "c"], ["c", "b2", "b1", "a"], ["b2", "unused", "c", "a", "b1"]])
def test_a_keyed_batch_is_the_bags_of_its_keys_in_our_order(scheme, weighted, names):
    """Keys that come in another order, or that nobody uses, must not move a single row; ids and offsets are int32."""
    module = collection(scheme, TABLES)
    batch, bags = keyed(module, names, weighted=weighted)
    out = module(batch)
    assert torch.equal(out.values(), module(bags))
    assert (out.keys(), out.length_per_key()) == (["a", "b1", "b2", "c"], [4, 8, 8, 4])
    assert out.offset_per_key() == [0, 4, 12, 20, 24]
    assert torch.equal(out["b2"], module(bags)[:, 12:20])
    assert torch.equal(torch.cat(list(out.to_dict().values()), 1), out.values())


@pytest.mark.parametrize("names", [["a", "b1", "b2", "c"], ["c", "b2", "b1", "a"]])
def test_an_empty_keyed_batch(names):
    module = collection("robe", TABLES)
    none = torch.zeros(0, dtype=torch.int64)
    assert module(Batch(names, none, torch.zeros(1, dtype=torch.int32))).values().shape == (0, 24)


def test_gradients_reach_memory_and_weights_through_a_keyed_batch():
    module = collection("robe", TABLES)
    batch, bags = keyed(module, ["c", "b2", "b1", "a"], weighted=True)
    batch.weights.requires_grad_()
    bags[2].requires_grad_()
    module(batch)["b1"].pow(2).sum().backward()
    got = module.memory.grad.clone()
    module.zero_grad()
    module(bags)[:, 4:12].pow(2).sum().backward()
    torch.testing.assert_close(got, module.memory.grad)
    assert batch.weights.grad.any()
    torch.testing.assert_close(batch.weights.grad.sum(), bags[2].grad.sum())


def test_one_key_may_look_into_several_tables_under_torchrecs_names():
    """TorchRec calls such features key@table; both must read the bags of the one key."""
    module = collection("robe", [Table("s", 20, 4, ("user@s",)), Table("t", 20, 4, ("item", "user@t"))])
    users, items = torch.tensor([3, 19, 4]), torch.tensor([7, 8])
    batch = Batch(["item", "user"], torch.cat([items, users]), torch.tensor([0, 1, 2, 4, 5]))
    out = module(batch)
    assert out.keys() == ["user@s", "item", "user@t"]
    bags = torch.cat([users, items, users]), torch.tensor([0, 2, 3, 4, 5, 7, 8])
    assert torch.equal(out.values(), module(bags).flatten(1))


def test_a_keyed_batch_in_our_order_compiles_without_a_graph_break():
    torch._dynamo.reset()
    module = collection("robe", TABLES)
    batch, bags = keyed(module, ["a", "b1", "b2", "c"])
    compiled = torch.compile(lambda b: module(b).values(), fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(batch), module(bags))


ONE = Batch(["a", "b1", "b2", "c"], torch.zeros(4, dtype=torch.int64), torch.arange(5))


class Strides(Batch):
    def variable_stride_per_key(self) -> bool:
        return True


BAD_BATCHES = {
    "no such key": (Batch(["a", "b1", "c"], ONE.ids[:3], torch.arange(4)), "no key 'b2', a feature of table 'b'"),
    "offsets of another K": (Batch(["c", "b1", "b2", "a"], ONE.ids, torch.arange(4)), "for F=4 features"),
    "offsets fall": (Batch(["c", "b1", "b2", "a"], ONE.ids, torch.tensor([0, 2, 1, 3, 4])), "must not fall"),
    "offsets end early": (Batch(["c", "b1", "b2", "a"], ONE.ids, torch.tensor([0, 1, 1, 1, 1])), "got 0 to 1"),
    "float ids": (Batch(["c", "b1", "b2", "a"], ONE.ids.double(), torch.arange(5)), "values must be int64 or int32"),
    "a stride a key": (Strides(*vars(ONE).values()), "a batch size of its own for each key"),
    "a dict": ({"a": ONE.ids}, "a KeyedJaggedTensor, got a dict"),
}


@pytest.mark.parametrize("case", BAD_BATCHES)
def test_batches_that_cannot_be_read_are_named(case):
    batch, message = BAD_BATCHES[case]
    with pytest.raises(ValueError, match=message):
        collection("robe", TABLES)(batch)


def test_weights_in_a_keyed_batch_need_sum_pooling():
    module = collection("robe", [Table("a", 5, 4, pooling="mean")])
    with pytest.raises(ValueError, match="sum pooling only, got 'mean'"):
        module(Batch(["a"], torch.tensor([1]), torch.tensor([0, 1]), torch.ones(1, dtype=torch.float64)))


def test_tables_in_torchrecs_words():
    configs = collection("robe", TABLES).embedding_bag_configs()
    assert [(c.name, c.num_embeddings, c.embedding_dim, c.feature_names) for c in configs] == [
        ("a", 20, 4, ["a"]),
        ("b", 30, 8, ["b1", "b2"]),
        ("c", 5, 4, ["c"]),
    ]


SIZES, DIMS, Z, M = (100, 40_000_000, 7), (16, 16, 5), 8, 997


def authors_rows(array: np.ndarray, ids: list[int], val_offset: int, dim: int, chunk: int) -> np.ndarray:
    """The authors' rows, from their formula (paper notes, 3b), with Python's exact integers."""
    r = [2038074743, *np.random.RandomState(1024).randint(0, 2038074743, 50).tolist()]
    slots = [
        [
            ((r[3] * (x + val_offset) + r[2] * (i // chunk) + r[1]) % r[0]) % (len(array) - chunk + 1) + i % chunk
            for i in range(dim)
        ]
        for x in ids
    ]
    return array[np.array(slots)]


def authors_state(kind: str, seed: int = 1024, sizes: int = len(SIZES), dtype=torch.float32) -> dict[str, Tensor]:
    """A state dict as one of their models leaves it: every module holds the one array."""
    array = torch.randn(M, generator=torch.Generator().manual_seed(1), dtype=dtype)
    drawn = np.random.RandomState(seed).randint(0, 2038074743, 50 if kind == "cuda" else 10)
    state = {"bot_l.0.weight": torch.zeros(2, 2), "bot_l.0.bias": torch.zeros(2)}
    for i in range(sizes):
        name = f"emb_l.{i}."
        state |= {name + "weight": array, name + "random_numbers": torch.tensor([2038074743, *drawn.tolist()])}
        if kind == "cuda":
            state |= {name + "hashed_weight": array, name + "signature": torch.zeros(2, dtype=torch.int64)}
        if kind == "cpu":
            element = torch.arange(DIMS[i])
            state[name + "helper_E1sR"] = torch.full((DIMS[i],), int(drawn[2]))
            state |= {name + "helper_Eidx_base": element // Z, name + "helper_Eidx_offset": element % Z}
    return state


def ours(memory_size: int = M, chunk: int = Z, sizes=SIZES, dims=DIMS, **options) -> EmbeddingBagCollection:
    tables = [Table(f"t{i}", n, d) for i, (n, d) in enumerate(zip(sizes, dims, strict=True))]
    return EmbeddingBagCollection(tables, Robe(chunk, hash="authors"), memory_size=memory_size, **options)


@pytest.mark.parametrize("kind", ["cuda", "cpu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_of_an_authors_checkpoint_are_bit_exact(kind, dtype):
    """Several tables, so that val_offset counts; a width that Z does not divide; ids at both ends."""
    state, module = authors_state(kind, dtype=dtype), ours(dtype=dtype)
    load_authors_(module, state, "emb_l.", val_offsets=[0, 100, 40_000_100])
    ids = [[0, 0, 0], [99, 39_999_999, 6], [50, 12_345_678, 3]]
    rows = module(torch.tensor(ids)).detach().numpy()
    array, column = state["emb_l.0.weight"].numpy(), 0
    for number, (offset, dim) in enumerate(zip((0, 100, 40_000_100), DIMS, strict=True)):
        expected = authors_rows(array, [row[number] for row in ids], offset, dim, Z)
        assert np.array_equal(rows[:, column : column + dim], expected), f"table {number}"
        column += dim


def test_a_single_bag_of_the_authors_with_padding():
    """`padding_idx` is not in their state dict; its rows are zeros on both sides."""
    state = {key.removeprefix("emb_l.0."): value for key, value in authors_state("cuda", sizes=1).items()}
    bag = EmbeddingBag(100, 16, mode="sum", padding_idx=3, memory_size=M, sharing=Robe(Z, hash="authors"))
    load_authors_(bag, state)
    rows = bag(torch.tensor([[3], [99]])).detach().numpy()
    assert not rows[0].any()
    assert np.array_equal(rows[1:], authors_rows(state["weight"].numpy(), [99], 0, 16, Z))


def changed(**changes) -> dict[str, Tensor]:
    return authors_state("cuda") | {key.replace("__", "."): value for key, value in changes.items()}


SIGNED = torch.ones(2, dtype=torch.int64)
UNREADABLE = {
    "another memory size": (lambda: (ours(M + 1), authors_state("cuda")), f"build it with memory_size={M}"),
    "another type": (lambda: (ours(dtype=torch.float64), authors_state("cuda")), "build it with dtype=torch.float32"),
    "another seed": (lambda: (ours(), authors_state("cuda", seed=7)), "another seed than 1024"),
    "another scheme": (lambda: (EmbeddingBag(100, 16, memory_size=M), authors_state("cuda", sizes=1)), "authors' rows"),
    "fewer tables": (lambda: (ours(sizes=SIZES[:2], dims=DIMS[:2]), authors_state("cuda")), "3 of the .* 2 tables"),
    "another formula": (lambda: (ours(), authors_state("robez-dlrm")), "places rows by another formula"),
    "none there": (lambda: (ours(), {"emb_l.0.weight": torch.zeros(M)}), "no module of the authors' below prefix"),
    "other chunks": (lambda: (ours(chunk=4), authors_state("cpu")), r"chunks of 8, the embeddings of 4: .*Robe\(chunk"),
    "other widths": (lambda: (ours(dims=(16, 8, 5)), authors_state("cpu")), "rows of width 16, table 't1' of 8"),
    "signatures": (lambda: (ours(), changed(emb_l__1__signature=SIGNED)), "emb_l.1.signature: rows placed by"),
    "trained apart": (
        lambda: (ours(), changed(emb_l__2__hashed_weight=torch.zeros(M))),
        "'emb_l.0.' and 'emb_l.2.' hold different arrays",
    ),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_checkpoints_that_would_give_other_rows_are_refused_and_nothing_is_changed(case):
    build, message = UNREADABLE[case]
    module, state = build()
    before = module.memory.detach().clone()
    with pytest.raises(ValueError, match=message):
        load_authors_(module, state, "emb_l.")
    assert torch.equal(module.memory, before)


def test_a_val_offset_that_is_not_ours_is_refused():
    with pytest.raises(ValueError, match=r"must be the rows of all tables before each, \[0, 100, 40000100\]"):
        load_authors_(ours(), authors_state("cuda"), "emb_l.", val_offsets=[0, 0, 0])


def test_the_authors_cpu_class_has_no_padding():
    bag = EmbeddingBag(100, 16, padding_idx=0, memory_size=M, sharing=Robe(Z, hash="authors"))
    with pytest.raises(ValueError, match="has no padding_idx, and reads row 0"):
        load_authors_(bag, authors_state("cpu", sizes=1))


def with_files(module, other, path):
    """`other`, after the state of `module` went through a safetensors file."""
    safetensors.torch.save_file(module.state_dict(), path)
    other.load_state_dict(safetensors.torch.load_file(path))
    return other


@pytest.mark.parametrize("scheme", ["robe", "robe-authors", "robe-linear-signed", "hashing-trick", "full"])
def test_modules_survive_what_users_do_to_modules(scheme, tmp_path):
    """Every journey gives the same rows back, from as many parameters as before."""
    module = collection(scheme, TABLES)
    _, (ids, offsets, _) = keyed(module, ["a", "b1", "b2", "c"])
    expected, shapes = module((ids, offsets)), [p.shape for p in module.parameters()]
    torch.save(module.state_dict(), tmp_path / "state.pt")
    loaded = collection(scheme, TABLES)
    loaded.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    moved = {
        "device and type": copy.deepcopy(module).to("cpu", torch.float64),
        "deepcopy": copy.deepcopy(module),
        "pickle": pickle.loads(pickle.dumps(module)),
        "torch.save": loaded,
        "safetensors": with_files(module, collection(scheme, TABLES), tmp_path / "state.safetensors"),
    }
    for journey, other in moved.items():
        assert torch.equal(other((ids, offsets)), expected), journey
        assert [p.shape for p in other.parameters()] == shapes, journey
    for type_, error in ((torch.float32, 1e-6), (torch.float16, 1e-2), (torch.bfloat16, 1e-1)):
        narrow = copy.deepcopy(module).to(type_)((ids, offsets))
        assert narrow.dtype == type_
        torch.testing.assert_close(narrow.double(), expected, rtol=error, atol=error * expected.abs().max().item())
    assert copy.deepcopy(module).half()((ids, offsets)).dtype == torch.float16


def test_a_tied_memory_is_written_once_and_comes_back_tied(tmp_path):
    """`save_file` refuses tensors that share memory, `save_model` keeps one of them."""

    def tied():
        both = nn.ModuleList(EmbeddingBag(1000, 8, memory_size=50) for _ in range(2))
        both[1].memory = both[0].memory
        return both

    model, other = tied(), tied()
    safetensors.torch.save_model(model, str(tmp_path / "tied.safetensors"))
    safetensors.torch.load_model(other, str(tmp_path / "tied.safetensors"))
    assert other[0].memory is other[1].memory
    assert torch.equal(other[1].memory, model[0].memory)


def test_an_int8_memory_goes_through_safetensors(tmp_path):
    def small():
        return quantize_(EmbeddingBag(1000, 8, memory_size=500))

    module, ids = small(), torch.arange(1000)[:, None]
    assert torch.equal(with_files(module, small(), tmp_path / "int8.safetensors")(ids), module(ids))


def test_safetensors_of_another_recipe_are_refused(tmp_path):
    with pytest.raises(RuntimeError, match="another sharing scheme"):
        with_files(ours(), ours(chunk=4), tmp_path / "state.safetensors")


@pytest.mark.filterwarnings("ignore")  # torch tries to trace the backward, warns of what it meets, and then breaks off
def test_full_tables_in_a_compiled_model():
    """The graph breaks at their row-sparse lookup; around it the model is compiled, and both ways are the same."""
    torch._dynamo.reset()
    module = collection("full", TABLES)
    _, (ids, offsets, _) = keyed(module, ["a", "b1", "b2", "c"])
    compiled = torch.compile(lambda *bags: module(bags).pow(2).sum(), backend="eager")
    compiled(ids, offsets).backward()
    got = [p.grad.to_dense() for p in module.parameters()]
    module.zero_grad()
    module((ids, offsets)).pow(2).sum().backward()
    torch.testing.assert_close(got, [p.grad.to_dense() for p in module.parameters()])


@pytest.mark.parametrize("ranker", MODELS)
def test_rankers_take_a_keyed_batch(ranker):
    """What the collection gives for one is side by side, in a KeyedTensor."""
    sizes = {"a": 20, "b": 30, "c": 5}

    def embeddings(dim):
        return EmbeddingBagCollection([Table(n, rows, dim) for n, rows in sizes.items()], Robe(4), memory_size=97)

    first_order = {"first_order": embeddings(1)} if MODELS[ranker].first_order else {}
    torch.manual_seed(0)
    model = ranker_named(ranker, embeddings(16), 2, **first_order).eval()
    ids = torch.stack([torch.randint(0, rows, (7,)) for rows in sizes.values()], 1)
    batch = Batch(list(sizes), ids.T.reshape(-1), torch.arange(3 * 7 + 1))
    dense = torch.rand(7, 2)
    torch.testing.assert_close(model(dense, batch), model(dense, ids))
