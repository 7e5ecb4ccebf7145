"""The artifacts that benchmarks/serving.py serves: trained a little, since speed does not depend on how well."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from pocketrec.artifact import offsets_of, read_artifact, write_artifact
from pocketrec.data.presets import PRESETS

SLOTS = {"kaggle": 540_000, "terabyte": 2_621_440}
"""A 1000th of Criteo Kaggle's tables, a 10,000th of Criteo TB's: 2.16 MB and 10.5 MB of float32."""
CHUNK = {"kaggle": 16, "terabyte": 32}
FULL_WIDTH = 16


def log_file(folder: Path) -> Path:
    """A synthetic log of 20,000 lines, prepared beside."""
    path = folder / "log.tsv"
    if not path.exists():
        run_pocketrec("synth", "--rows", "20000", "--out", path)
    if not (folder / "prepared").exists():
        run_pocketrec("prepare", path, "--out", folder / "prepared")
    return path


def artifact(folder: Path, preset: str) -> Path:
    """A DLRM of this preset over ROBE, exported in float32."""
    path = folder / f"{preset}.pocket"
    if not path.exists():
        run = folder / preset
        log_file(folder)
        if not (run / "model.pt").exists():
            sharing = ("--memory-size", SLOTS[preset], "--chunk-size", CHUNK[preset])
            run_pocketrec(
                "train", "--data", folder / "prepared", "--out", run, "--preset", preset, "--epochs", 1, *sharing
            )
        run_pocketrec("export", run, "--out", path)
    return path


def full_artifact(folder: Path, like: Path, share: float) -> Path:
    """The DLRM of `like`, the kaggle preset, with that share of Criteo Kaggle's 33.8 million rows in full tables.

    Untrained, and its vocabulary is drawn: what it costs to start, to hold and to ask does not depend on either.
    """
    path = folder / f"full-{share:g}.pocket"
    if not path.exists():
        _write_full(path, like, share)
        gc.collect()
    return path


def _write_full(path: Path, like: Path, share: float) -> None:
    from pocketrec import EmbeddingBagCollection, Full, Table
    from pocketrec.data.ids import Vocabulary
    from pocketrec.export import build_graph, place
    from pocketrec.models import ranker_named

    recipe: dict[str, Any] = dict(read_artifact(like).recipe.told)
    names = [each["name"] for each in recipe["inputs"]["categorical"]]
    wanted = [max(2, int(rows * share)) for rows in PRESETS["criteo-kaggle"].cardinalities]
    ids = Vocabulary([_drawn_ids(column, rows) for column, rows in enumerate(wanted)])
    tables = [Table(name, rows, FULL_WIDTH) for name, rows in zip(names, ids.num_embeddings, strict=True)]
    model = ranker_named(
        "dlrm", EmbeddingBagCollection(tables, Full()), len(recipe["inputs"]["dense"]), preset="kaggle"
    )
    built = build_graph(model, ids, range(len(names)), len(recipe["inputs"]["dense"]))
    slots = FULL_WIDTH * sum(ids.num_embeddings)
    recipe |= {
        "name": path.stem,
        "ids": {"policy": "vocabulary", "rows": list(ids.num_embeddings), "min_count": 1},
        "tables": [
            {"feature": each.name, "num_embeddings": each.num_embeddings, "embedding_dim": FULL_WIDTH}
            for each in tables
        ],
        "sharing": {"scheme": "full", "options": {}, "seed": 0},
        "memory": {"dtype": "float32", "slots": slots, "bytes": 4 * slots, "scale_block": 64},
        "examples": [],
    }
    del recipe["files"]
    write_artifact(path, recipe, built.tensors, place(built.proto, offsets_of(built.tensors)))


def _drawn_ids(column: int, rows: int) -> np.ndarray:
    """(rows - 1 or a few fewer,) ascending uint32."""
    drawn = np.random.default_rng(column).integers(1, 1 << 32, rows - 1, dtype=np.uint32)
    return np.unique(drawn)


def run_pocketrec(*arguments: Any) -> None:
    """A command, in a process of its own."""
    subprocess.run([sys.executable, "-m", "pocketrec", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)
