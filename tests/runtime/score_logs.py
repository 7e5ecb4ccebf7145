"""Logs to score, models that take them, and what the scores should be."""

from __future__ import annotations

import random

import polars as pl
import small_dlrm as small

from pocketrec.export.graph import build_graph
from pocketrec.runtime import load

CRITEO = {
    "inputs": {
        "dense": ["int_0", "int_5", "int_12"],
        "dense_transform": "log1p",
        "categorical": [{"name": f"cat_{place}", "kind": "hex"} for place in (3, 0, 25, 7)],
    },
    "tables": [{"feature": f"cat_{place}", "num_embeddings": None, "embedding_dim": 8} for place in (3, 0, 25, 7)],
}


SHOP = [
    {"price": "3.5", "age": "", "seen": "12", "hex_0": "1f", "integer_1": "7", "text_2": "shoe", "hex_3": ""},
    {"price": "-1", "age": "40", "seen": "1e3", "hex_0": "", "integer_1": "", "text_2": "a,b", "hex_3": "68fd1e64"},
    {"price": "0", "age": "4", "seen": "", "hex_0": "ABC", "integer_1": "0", "text_2": "", "hex_3": "0"},
]


def exported(path, policy, told=None):
    """With a graph as an export makes it: a file is scored by whichever engine is there."""
    ids = small.policy(policy)
    model = small.dlrm(ids)
    graph = build_graph(model, ids, range(len(small.KINDS)), len(small.DENSE))
    return small.write(path, model, ids, told=told, exported=graph)


def lines(rows, seed=0):
    """Rows of Criteo's fields as text: label, 13 integers, 26 hex values, some of them blank."""
    drawn = random.Random(seed)
    return [
        [
            str(drawn.randint(0, 1)),
            *("" if drawn.random() < 0.2 else str(drawn.randint(-2, 900)) for _ in range(13)),
            *("" if drawn.random() < 0.2 else f"{drawn.getrandbits(32):08x}" for _ in range(26)),
        ]
        for _ in range(rows)
    ]


def write(path, rows):
    path.write_text("".join("\t".join(row) + "\n" for row in rows))
    return path


def by_hand(artifact, rows):
    """The scores of rows of text, read here in plain Python."""
    names = ["label", *(f"int_{i}" for i in range(13)), *(f"cat_{i}" for i in range(26))]
    model = load(artifact)
    wanted = model.recipe.inputs.names
    return model.score_rows([{name: row[names.index(name)] for name in wanted} for row in rows])


def read(path):
    return pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path)
