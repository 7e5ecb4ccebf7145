"""Models of other libraries, their embeddings swapped: DeepCTR-Torch, Hugging Face's, TorchRec's.

TorchRec is never in the library's own environment, whose metrics it would set back: `make torchrec` runs its tests.
"""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from test_rankers_peers import deepctr
from torch import Tensor, nn

from pocketrec import EmbeddingBagCollection, Full, HashingTrick, Robe, Table, compress_
from pocketrec.embedding import SharedTables, owners_in

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries' own making
Case = tuple[nn.Module, Callable[[nn.Module], Tensor]]
"""A model, and one call of it."""
SIZES, SAMPLES = {"user": 5000, "item": 3000}, 32


def ids_of(names: list[str]) -> Tensor:
    return torch.stack([torch.randint(0, SIZES[name], (SAMPLES,)) for name in names], 1)


def deepctr_model(kind: str) -> Case:
    """Two sparse columns, a sequence that looks into the first one's table, a dense one; wide and deep parts."""
    inputs = deepctr("inputs")
    columns = [inputs.SparseFeat(name, n, embedding_dim=8) for name, n in SIZES.items()]
    seen = inputs.SparseFeat("seen", SIZES["item"], embedding_dim=8, embedding_name="item")
    columns += [inputs.VarLenSparseFeat(seen, maxlen=4, combiner="mean"), inputs.DenseFeat("age", 1)]
    model = getattr(deepctr("models"), kind)(columns, columns, init_std=0.1)
    history = torch.randint(0, SIZES["item"], (SAMPLES, 4))
    batch = torch.cat([ids_of(["user", "item"]), history, torch.rand(SAMPLES, 1)], 1)
    return model, lambda m: m(batch)


def language_model(kind: str, tied: bool = False) -> Case:
    import transformers

    sizes = {"GPT2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}}.get(
        kind,
        {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64},
    )
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=3000, tie_word_embeddings=tied, bos_token_id=1, eos_token_id=2, **sizes
    )
    head = {"GPT2": "GPT2LMHeadModel", "Bert": "BertForMaskedLM"}[kind]
    model = getattr(transformers, head)(config).eval()
    tokens = torch.randint(1, 3000, (4, 16))
    return model, lambda m: m(input_ids=tokens).logits


def torchrec_batch(names: list[str], weighted: bool = False) -> Any:
    """A KeyedJaggedTensor of 0 to 3 ids a bag; "other" is a key of nobody."""
    torchrec = pytest.importorskip("torchrec", reason="`make torchrec` has it")
    lengths = torch.randint(0, 4, (len(names), SAMPLES), dtype=torch.int32)
    limits = {"user": SIZES["user"], "friend": SIZES["user"], "item": SIZES["item"], "other": 10**6}
    values = torch.cat([torch.randint(0, limits[n], (int(k),)) for n, k in zip(names, lengths.sum(1), strict=True)])
    weights = torch.rand(len(values)) if weighted else None
    return torchrec.KeyedJaggedTensor(names, values, weights, lengths.flatten())


def torchrec_tables(dims: tuple[int, int] = (8, 8), pooling: str = "SUM", weighted: bool = False) -> Any:
    torchrec = pytest.importorskip("torchrec", reason="`make torchrec` has it")
    features = {"user": ["user", "friend"], "item": ["item"]}
    configs = [
        torchrec.EmbeddingBagConfig(
            name=f"t_{name}",
            num_embeddings=SIZES[name],
            embedding_dim=dim,
            feature_names=features[name],
            pooling=torchrec.PoolingType[pooling],
        )
        for name, dim in zip(SIZES, dims, strict=True)
    ]
    return torchrec.EmbeddingBagCollection(tables=configs, is_weighted=weighted)


def torchrec_dlrm(embeddings: nn.Module | None = None) -> Case:
    torchrec_models = pytest.importorskip("torchrec.models.dlrm", reason="`make torchrec` has it")
    batch, dense = torchrec_batch(["item", "friend", "other", "user"]), torch.rand(SAMPLES, 3)
    model = torchrec_models.DLRM(embeddings or torchrec_tables(), 3, [16, 8], [16, 1])
    return model, lambda m: m(dense, batch)


MODELS = {
    "deepctr-deepfm": lambda: deepctr_model("DeepFM"),
    "deepctr-dcn": lambda: deepctr_model("DCN"),
    "gpt2": lambda: language_model("GPT2"),
    "bert": lambda: language_model("Bert"),
    "torchrec-dlrm": torchrec_dlrm,
}


@pytest.fixture(params=MODELS)
def case(request: pytest.FixtureRequest) -> Case:
    torch.manual_seed(0)
    return MODELS[request.param]()


def test_at_no_compression_a_swapped_model_is_the_model(case):
    """Every row then has slots of its own, fitted: an id, a bag or an argument read otherwise shows in the output."""
    model, call = case
    expected = call(model).detach()
    report = compress_(model, HashingTrick(), compression=1, fit=True)
    assert not report.kept
    assert len(report.swapped) == len(owners_in(model)) >= 2
    torch.testing.assert_close(call(model), expected)


def test_swapped_it_trains_copies_and_loads(case):
    """Large tables are swapped, the few tiny ones kept; a memory without a gradient would stay as it is."""
    model, call = case
    report = compress_(model, Robe(8), compression=10, fit=True)
    assert all("at least" in reason for reason in report.kept.values())
    assert report.after.total.stored_bytes < report.before.total.stored_bytes / 9
    memories = [owner.memory for owner in owners_in(model)]
    before = [memory.detach().clone() for memory in memories]
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.01)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = (call(model) - 1).pow(2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert not any(torch.equal(memory, was) for memory, was in zip(memories, before, strict=True))
    twin = copy.deepcopy(model)
    for owner in owners_in(twin):
        nn.init.zeros_(owner.memory)
    twin.load_state_dict(model.state_dict())
    torch.testing.assert_close(call(twin.eval()), call(model.eval()))


def test_deepctrs_penalty_is_on_the_memories():
    """It keeps its tables in a list made at the start: they would stay, and be decayed, instead of the memories."""
    model, call = deepctr_model("DeepFM")
    table = weakref.ref(model.embedding_dict["user"].weight)
    report = compress_(model, compression=10)
    assert report.elsewhere == {
        "regularization_weight": "4 weights in it were swapped, and it holds their memories now"
    }
    gc.collect()
    assert table() is None
    model.get_regularization_loss().sum().backward()
    assert all(owner.memory.grad is not None for owner in owners_in(model))
    assert call(model).shape == (SAMPLES, 1)


@pytest.mark.parametrize(
    ("kind", "words", "head"),
    [
        ("GPT2", "transformer.wte", "lm_head"),
        ("Bert", "bert.embeddings.word_embeddings", "cls.predictions.decoder"),
    ],
)
def test_a_tied_head_keeps_its_table_and_the_report_says_so(kind, words, head):
    model, call = language_model(kind, tied=True)
    report = compress_(model, compression=10)
    assert report.kept[words] == f"its weight is also that of {head}, which needs the whole table"
    assert any("position" in name or "wpe" in name for name in report.swapped)
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    call(model).sum().backward()


def test_a_swapped_language_model_generates_and_is_saved(tmp_path):
    """`save_pretrained` writes safetensors, which refuses memory that is shared without its knowing."""
    model, call = language_model("GPT2")
    compress_(model, compression=10)
    model.save_pretrained(tmp_path)
    from safetensors.torch import load_file

    other, _ = language_model("GPT2")
    compress_(other, compression=10)
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(call(other), call(model))
    prompt = torch.randint(1, 3000, (2, 3))
    assert model.generate(prompt, max_new_tokens=4, min_new_tokens=4, pad_token_id=0).shape == (2, 7)


def ours_like(theirs: Any) -> EmbeddingBagCollection:
    """Full tables with the features, pooling and weights of TorchRec's."""
    tables = [
        Table(c.name, c.num_embeddings, c.embedding_dim, tuple(c.feature_names), c.pooling.value.lower())
        for c in theirs.embedding_bag_configs()
    ]
    ours = EmbeddingBagCollection(tables, Full())
    weights = [bag.weight.detach() for bag in theirs.embedding_bags.values()]
    for dim in {t.embedding_dim for t in tables}:
        rows = torch.cat([w for w in weights if w.shape[1] == dim])
        ours.get_parameter(f"full_d{dim}").data.copy_(rows)
    return ours


@pytest.mark.parametrize("names", [["user", "friend", "item"], ["item", "other", "user", "friend"]])
@pytest.mark.parametrize(("pooling", "weighted"), [("SUM", False), ("SUM", True), ("MEAN", False)])
@pytest.mark.parametrize("dims", [(8, 8), (4, 8)])
def test_our_full_tables_are_torchrecs(names, pooling, weighted, dims):
    """Values, their names and their order, on TorchRec's own batches, and its regrouping of the result."""
    theirs = torchrec_tables(dims, pooling, weighted)
    ours, batch = ours_like(theirs), torchrec_batch(names, weighted)
    expected, got = theirs(batch), ours(batch)
    torch.testing.assert_close(got.values(), expected.values())
    for told in ("keys", "length_per_key", "offset_per_key"):
        assert getattr(got, told)() == getattr(expected, told)()
    groups = [["item", "user"], ["friend"]]
    regrouped = type(expected).regroup([got], groups)
    torch.testing.assert_close(regrouped, type(expected).regroup([expected], groups))


def test_a_key_in_several_tables_has_torchrecs_names():
    torchrec = pytest.importorskip("torchrec", reason="`make torchrec` has it")
    features = {"t_user": ["user"], "t_both": ["item", "user"]}
    theirs = torchrec.EmbeddingBagCollection(
        tables=[
            torchrec.EmbeddingBagConfig(num_embeddings=5000, embedding_dim=4, name=name, feature_names=keys)
            for name, keys in features.items()
        ]
    )
    tables = [Table("t_user", 5000, 4, ("user@t_user",)), Table("t_both", 5000, 4, ("item", "user@t_both"))]
    ours = EmbeddingBagCollection(tables, Full())
    ours.full_d4.data.copy_(torch.cat([bag.weight.detach() for bag in theirs.embedding_bags.values()]))
    batch = torchrec_batch(["item", "user"])
    expected, got = theirs(batch), ours(batch)
    assert got.keys() == expected.keys()
    torch.testing.assert_close(got.values(), expected.values())


def test_torchrecs_dlrm_takes_our_collection():
    """The same outputs as with theirs when the tables are the same; and it trains one memory for all of them."""
    torch.manual_seed(0)
    model, call = torchrec_dlrm()
    expected = call(model).detach()
    model.sparse_arch.embedding_bag_collection = ours_like(model.sparse_arch.embedding_bag_collection)
    torch.testing.assert_close(call(model), expected)
    tables = [Table("t_user", 5000, 8, ("user", "friend")), Table("t_item", 3000, 8, ("item",))]
    embeddings: SharedTables = EmbeddingBagCollection(tables, compression=100)
    model, call = torchrec_dlrm(embeddings)
    call(model).sum().backward()
    assert next(name for name, _ in model.named_parameters()) == "sparse_arch.embedding_bag_collection.memory"
    assert embeddings.memory.grad.any()


def test_torchrecs_dlrm_with_our_collection_compiles():
    """As one graph where keys come in our order; else the reordering reads lengths on the host, and breaks it."""
    tables = [Table("t_user", 5000, 8, ("user", "friend")), Table("t_item", 3000, 8, ("item",))]
    model, _ = torchrec_dlrm(EmbeddingBagCollection(tables, compression=100))
    dense = torch.rand(SAMPLES, 3)
    for names, whole in ((["user", "friend", "item"], True), (["item", "user", "friend"], False)):
        torch._dynamo.reset()
        batch = torchrec_batch(names)
        compiled = torch.compile(model, fullgraph=whole, backend="aot_eager")
        torch.testing.assert_close(compiled(dense, batch), model(dense, batch))
