"""100,000 mutated files: the reader refuses each with an ArtifactError, or finds in it what was written.

Anything else, such as a struct.error, a RecursionError or a view outside the file, would be a way in for a hostile
file. POCKETREC_FUZZ sets how many files, and which, from what seed: `POCKETREC_FUZZ=1000000:7`.
"""

from __future__ import annotations

import os
import random
from collections import Counter

import made
import numpy as np
import pytest
from mutations import damaged, resealed

from pocketrec.artifact import Artifact, ArtifactError, artifact_of, write_artifact
from pocketrec.artifact.archive import entries

FILES, SEED = (int(n) for n in (os.environ.get("POCKETREC_FUZZ", "100000") + ":0").split(":")[:2])


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> bytes:
    tensors = made.tensors()
    path = tmp_path_factory.mktemp("base") / "small.pocket"
    return bytes(write_artifact(path, made.recipe(), tensors, made.model(tensors).SerializeToString()).contents)


def meaning(artifact: Artifact) -> tuple[object, ...]:
    return artifact.recipe, bytes(artifact.weights), artifact.graph


def test_damaged_files_are_refused_or_mean_the_same(base):
    draw, written, seen = random.Random(SEED), meaning(artifact_of(base)), Counter()
    for number in range(FILES * 8 // 10):
        file = damaged(base, draw)
        try:
            assert meaning(artifact_of(file)) == written, f"file {number} of seed {SEED} means something else"
            seen["accepted"] += 1
        except ArtifactError:
            seen["refused"] += 1
    assert 0 < 10 * seen["accepted"] < seen["refused"], "the mutations no longer reach everything"


def test_contents_changed_and_sealed_again_are_refused_or_whole(base):
    """Checksums agree here, so that every check behind them is met."""
    parts = {name: bytes(entry) for name, entry in entries(memoryview(base)).items()}
    draw, seen = random.Random(SEED + 1), Counter()
    for _ in range(FILES * 2 // 10):
        file = resealed(parts, draw)
        try:
            artifact = artifact_of(file)
        except ArtifactError:
            seen["refused"] += 1
            continue
        seen["accepted"] += 1
        assert all(np.isfinite(tensor).all() for tensor in artifact.tensors.values())
        assert artifact.recipe.n_features == len(made.FEATURES)
        assert sum(tensor.nbytes for tensor in artifact.tensors.values()) <= len(artifact.weights)
    assert 0 < seen["accepted"] < seen["refused"], "the mutations no longer reach everything"
