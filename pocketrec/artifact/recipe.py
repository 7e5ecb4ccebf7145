"""recipe.json: what the model is, what it takes, how its rows are recovered, and how good it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pocketrec.artifact.archive import GRAPH, TENSORS
from pocketrec.artifact.errors import ArtifactError, damaged
from pocketrec.artifact.graph import OPSET
from pocketrec.artifact.told import Told
from pocketrec.hashing import ID_LIMIT, VERSION as HASH_VERSION

FORMAT, VERSION = "pocketrec", 1
KINDS = ("hex", "integer", "text")
POLICIES = ("raw", "filtered", "vocabulary", "ranked")
MAX_COLUMNS = 4096
MAX_EXAMPLES = 8
Raw = float | int | str | None | Mapping[str, int]
"""A value of a row as the log has it; `{"id": N}` is a raw id itself."""


@dataclass(frozen=True)
class Categorical:
    """A categorical column."""

    name: str
    kind: str
    """How its raw values become ids: a word of `KINDS`."""


@dataclass(frozen=True)
class Inputs:
    """What a row has."""

    dense: tuple[str, ...]
    dense_transform: str
    categorical: tuple[Categorical, ...]

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the categorical columns."""
        return tuple(each.name for each in self.categorical)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all columns, dense ones first."""
        return self.dense + self.features


@dataclass(frozen=True)
class Example:
    """A real row, and what the exported model said."""

    row: Mapping[str, Raw]
    probability: float


@dataclass(frozen=True)
class File:
    """An entry beside the recipe, as it was written."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Recipe:
    """The contents of recipe.json, checked; see docs/format.md for every field."""

    name: str
    inputs: Inputs
    ids: Mapping[str, Any]
    tables: tuple[Mapping[str, Any], ...]
    sharing: Mapping[str, Any]
    model: Mapping[str, Any]
    memory: Mapping[str, Any]
    sizes: Mapping[str, Any]
    metrics: Mapping[str, Any]
    data: Mapping[str, Any]
    files: Mapping[str, File]
    examples: tuple[Example, ...]
    made_by: Mapping[str, Any]
    told: Mapping[str, Any]
    """All of it, as the file says it."""

    @property
    def n_dense(self) -> int:
        """Dense columns."""
        return len(self.inputs.dense)

    @property
    def n_features(self) -> int:
        """Categorical columns, F."""
        return len(self.inputs.categorical)


def recipe_of(about: Mapping[str, Any]) -> Recipe:
    """The Recipe that a JSON object tells. Raises ArtifactError, naming the field that is missing or not understood."""
    told = Told(about, "recipe.json")
    _check_versions(told)
    inputs = _inputs(told.part("inputs"))
    recipe = Recipe(
        name=told.name("name"),
        inputs=inputs,
        ids=_ids(told.part("ids"), len(inputs.categorical)),
        tables=_tables(told, inputs),
        sharing=_sharing(told.part("sharing")),
        model=_model(told.part("model"), inputs),
        memory=_memory(told.part("memory")),
        sizes=told.part("sizes").scalars(),
        metrics={name: told.part("metrics").part(name).scalars() for name in told.part("metrics").all()},
        data=told.part("data").all(),
        files=_files(told.part("files")),
        examples=tuple(_example(each, inputs) for each in told.parts("examples", MAX_EXAMPLES)),
        made_by=told.part("made_by").scalars(),
        told=about,
    )
    _check_graph(told.part("graph"), inputs)
    told.nothing_else()
    return recipe


def _check_versions(told: Told) -> None:
    if told.get("format") != FORMAT:
        raise damaged(f"recipe.json: format is {str(told.get('format'))[:40]!r}, not {FORMAT!r}")
    for what, known in (("version", VERSION), ("hash", HASH_VERSION)):
        got = told.get(what)
        if type(got) is not int or got != known:
            raise ArtifactError(
                f"recipe.json: {what} is {str(got)[:40]}, this pocketrec reads {known}: upgrade pocketrec, or export "
                "the run again with this one"
            )


def _inputs(told: Told) -> Inputs:
    dense = told.names("dense", MAX_COLUMNS)
    told.must_be("dense_transform", "log1p")
    categorical = []
    for each in told.parts("categorical", MAX_COLUMNS):
        categorical.append(Categorical(each.column("name"), each.one_of("kind", KINDS)))
        each.nothing_else()
    told.nothing_else()
    names = [*dense, *(each.name for each in categorical)]
    if len(set(names)) != len(names):
        raise damaged("recipe.json: inputs has two columns of one name")
    if not categorical:
        raise damaged("recipe.json: inputs has no categorical column")
    return Inputs(tuple(dense), "log1p", tuple(categorical))


def _ids(told: Told, features: int) -> Mapping[str, Any]:
    policy = told.one_of("policy", POLICIES)
    if policy == "filtered":
        told.count("probes", 1, 64)
        told.count("bits", 8, 1 << 31)
        told.must_be("seed", 0)
        told.must_be("unseen_id", ID_LIMIT - 1)
        _one_each(told.counts("columns", MAX_COLUMNS, 1 << 20), features, "ids.columns")
    elif policy in ("vocabulary", "ranked"):
        rows = told.counts("rows", MAX_COLUMNS, 1 << 40)
        _one_each(rows, features, "ids.rows")
        if 0 in rows:
            raise damaged("recipe.json: ids.rows has a table without the row of unknown ids")
    if policy != "raw":
        told.count("min_count", 1, 1 << 60)
    told.nothing_else()
    return told.all()


def _one_each(values: Sequence[int], features: int, what: str) -> None:
    if len(values) != features:
        raise damaged(f"recipe.json: {what} has {len(values)} entries for {features} categorical columns")


def _tables(told: Told, inputs: Inputs) -> tuple[Mapping[str, Any], ...]:
    tables = tuple(_table(each, inputs) for each in told.parts("tables", MAX_COLUMNS))
    if not tables:
        raise damaged("recipe.json: tables is empty")
    return tables


def _table(told: Told, inputs: Inputs) -> Mapping[str, Any]:
    told.one_of("feature", inputs.features)
    if told.get("num_embeddings") is not None:
        told.count("num_embeddings", 1, 1 << 62)
    told.count("embedding_dim", 1, 1 << 20)
    told.nothing_else()
    return told.all()


def _sharing(told: Told) -> Mapping[str, Any]:
    told.word("scheme")
    told.part("options")
    told.count("seed", 0, ID_LIMIT - 1)
    told.nothing_else()
    return told.all()


def _model(told: Told, inputs: Inputs) -> Mapping[str, Any]:
    told.word("ranker")
    told.word("preset")
    told.must_be("dense", len(inputs.dense))
    return told.all()


def _memory(told: Told) -> Mapping[str, Any]:
    told.word("dtype")
    for name in ("slots", "bytes", "scale_block"):
        told.count(name, 0, 1 << 48)
    return told.all()


def _files(told: Told) -> Mapping[str, File]:
    files = {}
    for name in (TENSORS, GRAPH):
        each = told.part(name)
        files[name] = File(each.count("bytes", 0, 1 << 40), each.sha256("sha256"))
        each.nothing_else()
    told.nothing_else()
    return files


def _check_graph(told: Told, inputs: Inputs) -> None:
    got = told.get("opset")
    if type(got) is not int or got != OPSET:
        raise ArtifactError(
            f"recipe.json: graph.opset is {str(got)[:40]}, this pocketrec reads {OPSET}: upgrade pocketrec, or export "
            "the run again with this one"
        )
    told.must_be("inputs", ["dense", "ids"] if inputs.dense else ["ids"])
    told.must_be("output", "probability")
    told.nothing_else()


def _example(told: Told, inputs: Inputs) -> Example:
    row = told.part("row").all()
    for these, those, rule in ((inputs.names, row, "lacks the column"), (row, inputs.names, "has a column unknown,")):
        other = sorted(set(these) - set(those))
        if other:
            raise damaged(f"recipe.json: an example {rule} {other[0][:40]!r}")
    for name, value in row.items():
        if not _is_raw(value):
            raise damaged(f"recipe.json: examples have {str(value)[:40]!r} for {name}, which is no value of a row")
    probability = told.number("probability", 0, 1)
    told.nothing_else()
    return Example(row, probability)


def _is_raw(value: Any) -> bool:
    if isinstance(value, dict):
        return value.keys() == {"id"} and type(value["id"]) is int and 0 <= value["id"] < ID_LIMIT
    if type(value) is int:
        return -(1 << 63) <= value < 1 << 63
    return value is None or isinstance(value, float | str)
