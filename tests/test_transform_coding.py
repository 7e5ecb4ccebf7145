"""Transform coding: the budget is kept, rows come back near, and codes travel."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from lookups import pool, random_bags
from torch import nn

from pocketrec import (
    EmbeddingBagCollection,
    Full,
    Robe,
    Table,
    TransformCoding,
    compress_,
    fit_,
    full_bytes,
    stored_bytes,
)
from pocketrec.compress import encode, sensitivity
from pocketrec.compress.transform import table_weights
from pocketrec.errors import UsageError

TABLES = [
    Table("many", 3000, 16, features=("x", "y")),
    Table("mean", 500, 12, pooling="mean", padding_idx=3),
    Table("max", 40, 16, pooling="max"),
    Table("one", 1, 8),
    Table("two", 2, 16, padding_idx=-1),
]


def full_tables(tables=TABLES, spread=lambda n, d: 0.9 ** torch.arange(d), seed=0):
    """Normal rows, whose numbers in a random basis get smaller one after the other."""
    torch.manual_seed(seed)
    full = EmbeddingBagCollection(tables, Full())
    for weight in table_weights(full):
        n, d = weight.shape
        basis = torch.linalg.qr(torch.randn(d, d)).Q
        weight.copy_(torch.randn(n, d) * spread(n, d) @ basis + 0.3 * torch.randn(d))
    return full


def falling_counts(full):
    return [torch.cat([torch.zeros(1), 1000 // torch.arange(1, t.num_embeddings) + 1]) for t in full.tables]


def rows_of(module):
    """The virtual table of each table, through the module's front door; padding reads as zeros."""
    found = {}
    for number, table in enumerate(module.tables):
        features = sum(len(t.features) for t in module.tables[:number])
        ids = torch.zeros(table.num_embeddings, module.num_features, dtype=torch.int64)
        ids[:, features] = torch.arange(table.num_embeddings)
        first = sum(module.dims[:features])
        found[table.name] = module(ids).flatten(1)[:, first : first + table.embedding_dim].detach()
    return found


def error_of(module, full, name):
    own, wanted = rows_of(module)[name], rows_of(full)[name]
    return float((own - wanted).square().mean() / wanted.square().mean())


@pytest.fixture(scope="module")
def full():
    return full_tables()


@pytest.fixture(scope="module")
def coded(full):
    return encode(full, compression=12, counts=falling_counts(full))


# Tables.


@pytest.mark.parametrize("compression", [1, 3, 10, 40, 150])
@pytest.mark.parametrize("counted", [True, False])
def test_the_budget_is_kept_to_the_byte(full, compression, counted):
    """What is counted is what a file holds, beside what says how the module was made."""
    module = encode(full, compression=compression, counts=falling_counts(full) if counted else None)
    assert stored_bytes(module) <= full_bytes(full) / compression
    if compression > 3:
        assert stored_bytes(module) > 0.95 * full_bytes(full) / compression - 8
    recipe = {"recovery.num_embeddings", "recovery.widths"}
    kept = [t for name, t in module.state_dict().items() if name not in recipe]
    assert stored_bytes(module) == sum(t.numel() * t.element_size() for t in kept)
    assert not list(module.parameters())


def test_error_falls_as_the_budget_rises(full):
    errors = [error_of(encode(full, compression=x), full, "many") for x in (100, 30, 10, 5, 3)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02 < 0.5 < errors[0]


def test_rows_that_come_often_are_nearer(full):
    module = encode(full, compression=12, counts=falling_counts(full))
    errors = (rows_of(module)["many"] - rows_of(full)["many"]).square().mean(1)
    assert 4 * errors[1:50].mean() < errors[2000:].mean()
    even = encode(full, compression=12, counts=falling_counts(full), sharing=TransformCoding(alpha=0))
    assert error_of(even, full, "many") < error_of(module, full, "many"), "which is what the others pay"


def test_row_0_is_apart(full):
    """It serves all other values, whatever its count says: a row of its own, nearly exact where numbers are coded."""
    module = encode(full, compression=6, counts=falling_counts(full))
    off = (rows_of(module)["many"][0] - rows_of(full)["many"][0]).square().mean()
    assert off < 0.02 * rows_of(full)["many"][0].square().mean()


def test_directions_that_matter_are_nearer(full):
    """A sensitivity moves bits between directions and between tables."""
    minds = [torch.eye(t.embedding_dim) * 1e-3 for t in full.tables]
    minds[0] = torch.diag(torch.tensor([1.0] * 4 + [1e-3] * 12))
    plain, module = encode(full, compression=12), encode(full, compression=12, sensitivity=minds)
    off = [(rows_of(m)["many"] - rows_of(full)["many"])[:, :4].square().mean() for m in (plain, module)]
    assert off[1] < off[0] / 2
    assert error_of(module, full, "mean") > error_of(plain, full, "mean")


def test_rows_of_a_low_rank_are_nearly_exact():
    """Three numbers a row say all; seven bits of each leave hardly anything."""
    table = [Table("t", 4000, 32)]
    full = full_tables(table, spread=lambda n, d: (torch.arange(d) < 3).float())
    assert error_of(encode(full, compression=32), full, "t") < 1e-3


def test_tables_of_constant_rows_and_of_zeros():
    """Variances of 0, and columns that are nothing, are no trouble."""
    full = EmbeddingBagCollection([Table("zero", 50, 8), Table("constant", 50, 8)], Full())
    zero, constant = table_weights(full)
    zero.zero_()
    constant.copy_(torch.arange(8.0).expand(50, 8))
    module = encode(full, compression=10)
    assert not rows_of(module)["zero"].any()
    assert error_of(module, full, "constant") < 1e-4


@pytest.mark.parametrize("scale", [1e-12, 1e8])
def test_any_size_of_rows(scale):
    """Scales and means are float16, yet relative: weights of any size come back."""
    full = full_tables([Table("t", 2000, 8)])
    with torch.no_grad():
        table_weights(full)[0].mul_(scale)
    assert error_of(encode(full, compression=5), full, "t") < 0.02


# Lookups.


def test_bags_are_pools_of_the_materialised_rows(coded, monkeypatch):
    """Sums, means, maxima, padding, empty bags, duplicates, one-row tables."""
    import lookups

    rows = rows_of(coded)
    monkeypatch.setattr(
        lookups, "materialise", lambda module: [rows[t.name] for t in module.tables for _ in t.features]
    )
    values, offsets = random_bags(coded, 23)
    torch.testing.assert_close(coded((values, offsets)), pool(coded, values, offsets))
    summed = encode(full_tables(TABLES[:1]), compression=5)
    rows = rows_of(summed)
    values, offsets = random_bags(summed, 9)
    weights = torch.randn(len(values))
    torch.testing.assert_close(summed((values, offsets, weights)).flatten(1), pool(summed, values, offsets, weights))


def test_one_row_at_a_time_is_the_same(coded):
    """What is decoded for one id does not hang on the ids beside it."""
    ids = torch.stack([torch.randint(0, t.num_embeddings, (11,)) for t in coded.tables for _ in t.features], 1)
    torch.testing.assert_close(coded(ids), torch.cat([coded(row[None]) for row in ids]))
    assert coded(ids[:0]).shape == (0, sum(coded.dims))


@pytest.mark.parametrize("way", ["state_dict", "file", "pickle", "deepcopy"])
def test_codes_travel(full, coded, way):
    """Into a module that holds none yet, or others."""
    wanted = rows_of(coded)
    if way in ("pickle", "deepcopy"):
        other = pickle.loads(pickle.dumps(coded)) if way == "pickle" else copy.deepcopy(coded)
    else:
        other = EmbeddingBagCollection(TABLES, TransformCoding(), compression=12)
        state = coded.state_dict()
        if way == "file":
            torch.save(state, file := io.BytesIO())
            state = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
        other.load_state_dict(state)
        again = encode(full, compression=40)
        again.load_state_dict(state)
        assert all(torch.equal(rows_of(again)[name], rows) for name, rows in wanted.items())
    assert all(torch.equal(rows_of(other)[name], rows) for name, rows in wanted.items())
    assert stored_bytes(other) == stored_bytes(coded)


def test_other_types_are_those_of_the_rows_only(coded):
    """`.double()` and `.half()` leave codes, scales and bases alone."""
    wide = copy.deepcopy(coded).double()
    assert stored_bytes(wide) == stored_bytes(coded)
    ids = torch.zeros(2, coded.num_features, dtype=torch.int64)
    assert wide(ids).dtype == torch.float64
    torch.testing.assert_close(wide(ids).float(), coded(ids))
    assert copy.deepcopy(coded).half()(ids).dtype == torch.float16


def test_safetensors_holds_them(coded, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file(coded.state_dict(), tmp_path / "codes.safetensors")
    other = EmbeddingBagCollection(TABLES, TransformCoding(), compression=12)
    other.load_state_dict(safetensors.load_file(tmp_path / "codes.safetensors"))
    assert torch.equal(rows_of(other)["many"], rows_of(coded)["many"])


def test_lookups_compile(coded):
    ids = torch.zeros(3, coded.num_features, dtype=torch.int64)
    ids[:, 0] = torch.tensor([5, 2999, 0])
    compiled = torch.compile(coded, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(ids), coded(ids))


def test_models_of_torch_are_encoded_in_place(full):
    """`compress_(fit=True)` makes codes; rows that are not numbers are refused."""
    wanted = rows_of(full)["many"]
    model = nn.ModuleDict({"item": nn.Embedding(3000, 16, _weight=wanted.clone())})
    report = compress_(model, TransformCoding(), compression=8, fit=True)
    assert report.swapped == ("item",)
    own = model["item"](torch.arange(3000))
    assert float((own - wanted).square().mean() / wanted.square().mean()) < 0.15
    assert stored_bytes(model) <= 3000 * 16 * 4 / 8
    wanted[5, 3] = torch.nan
    with pytest.raises(UsageError, match="holds infinities or NaN"):
        fit_(model["item"], wanted)
    with pytest.raises(UsageError, match="must have shape"):
        fit_(model["item"], wanted[:7])


# Sensitivity.


def test_sensitivity_is_what_a_model_minds():
    """A linear model's gradient is its weight; p (1 - p) is 1 / 4 where logits are 0."""
    full = EmbeddingBagCollection([Table("a", 10, 3, features=("x", "y")), Table("b", 10, 3)], Full())
    with torch.no_grad():
        for weight in table_weights(full):
            weight.zero_()
    direction = torch.tensor([1.0, -2.0, 0.0])

    class Linear(nn.Module):
        def __init__(self):
            super().__init__()
            self.embeddings = full

        def forward(self, ids):
            return self.embeddings(ids).sum(1) @ direction

    batches = [(torch.randint(0, 10, (32, 3)), torch.ones(32)) for _ in range(3)]
    for own in sensitivity(Linear(), full, batches):
        torch.testing.assert_close(own, 0.25 * torch.outer(direction, direction).double())
    assert all(weight.grad is None for weight in full.parameters())
    with pytest.raises(UsageError, match="must call them once"):
        sensitivity(Linear(), EmbeddingBagCollection(full.tables, Full()), batches)
    with pytest.raises(UsageError, match="there are none"):
        sensitivity(Linear(), full, [])


# Refusals.


def test_what_makes_no_sense_is_refused(full):
    rising = falling_counts(full)
    rising[1][7] = 5000
    cases = [
        (lambda: TransformCoding(alpha=-1), r"alpha must be a number in \[0, inf\), got -1"),
        (lambda: TransformCoding(max_bits=8), "max_bits: must be at most 7"),
        (lambda: TransformCoding(ratio=0.5), r"ratio must be a number in \[1, inf\), got 0.5"),
        (lambda: TransformCoding(ratio=float("inf")), r"ratio must be a number in \[1, inf\)"),
        (lambda: TransformCoding(alpha="a"), "alpha must be a number"),
        (lambda: encode(full, compression=10, counts=rising), "counts: of table 'mean' rise at row 7.*--ids ranked"),
        (lambda: encode(full, compression=10, counts=rising[:2]), "counts: must be 5, one for each table, got 2"),
        (lambda: encode(full, compression=10, counts=[torch.ones(2)] * 5), "'many' must be 3000 numbers"),
        (lambda: encode(full, compression=10, counts=[-torch.ones(3000)] * 5), "numbers of at least 0"),
        (lambda: encode(full, compression=10, sensitivity=[torch.eye(2)] * 5), "shape \\(16, 16\\)"),
        (lambda: encode(full, compression=1e5), "takes at least"),
        (lambda: encode(full, compression=6000), "cannot hold one code"),
        (lambda: encode(full, compression=10, sharing=Robe()), "codes of TransformCoding"),
        (lambda: encode(full, compression=10, counts=[[1]] * 5), "counts: must be Tensors"),
        (lambda: encode(full), "give one of"),
        (lambda: encode(EmbeddingBagCollection(TABLES, Robe(4), compression=10), compression=10), "sharing=Full"),
        (lambda: EmbeddingBagCollection([Table("t", None, 4)], TransformCoding(), memory_size=99), "num_embeddings"),
    ]
    for make, message in cases:
        with pytest.raises(UsageError, match=message):
            make()


def test_tables_without_codes_say_what_to_do(coded):
    empty = EmbeddingBagCollection(TABLES, TransformCoding(), compression=12)
    with pytest.raises(UsageError, match=r"no codes yet.*pocketrec.compress.encode"):
        empty(torch.zeros(1, 6, dtype=torch.int64))
    empty.load_state_dict(copy.deepcopy(empty).state_dict())
    with pytest.raises(UsageError, match="for inference"):
        coded.reset_parameters()


@pytest.mark.parametrize("name", ["packed", "bits", "means", "scales", "basis", "tiers", "components", "first_rows"])
def test_damaged_codes_are_refused(coded, name):
    """A tensor that is cut, or of another type, is an error when loaded, not rows of noise later."""
    for damage in (lambda t: t[:-1], lambda t: t.double()):
        state = coded.state_dict()
        state[f"recovery.{name}"] = damage(state[f"recovery.{name}"])
        with pytest.raises(RuntimeError, match="recovery"):
            copy.deepcopy(coded).load_state_dict(state)


def test_codes_of_other_tables_are_refused(coded):
    other = EmbeddingBagCollection([Table("many", 3001, 16), *TABLES[1:]], TransformCoding(), compression=12)
    with pytest.raises(RuntimeError, match="made with other tables"):
        other.load_state_dict(coded.state_dict())
