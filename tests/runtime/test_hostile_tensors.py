"""Tensors that the reader lets pass, since it knows no model, and that fit no model: refused when loaded, or harmless.

What C++ reads from outside an array ends the process, a server's too. `make sanitize` sees such reads that end nothing.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
import small_dlrm as small

from pocketrec.artifact import ArtifactError
from pocketrec.runtime import load, native_library

ARTIFACTS, SEED = 150, 0


def resized(array, draw):
    return np.resize(array, max(0, array.size + draw.choice((-array.size, -64, -1, 1, 64))))


def emptied(array, draw):
    return np.zeros((*array.shape, 0)[-2:], array.dtype)


def folded(array, draw):
    return array.reshape(draw.choice([(1, -1), (-1, 1), (-1,), (1, 1, -1)]))


def retyped(array, draw):
    return array.astype(draw.choice([np.uint8, np.int8, np.int32, np.uint32, np.int64, np.float32, np.float64]))


def overwritten(array, draw):
    changed = array.copy()
    if changed.size and changed.dtype.kind in "iu":
        limits = np.iinfo(changed.dtype)
        changed.flat[draw.randrange(changed.size)] = draw.choice((limits.min, limits.max, 0, 1, limits.max // 2))
    return changed


CHANGES = (resized, emptied, folded, retyped, overwritten)


@pytest.mark.skipif(not native_library.library(), reason="not built")
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast", "ignore:overflow encountered")
@pytest.mark.parametrize("policy", ["raw", "filtered", "vocabulary", "ranked"])
@pytest.mark.parametrize("bits", [None, 8])
def test_whatever_is_loaded_scores(tmp_path, policy, bits):
    draw, ids = random.Random(f"{SEED}{policy}{bits}"), small.policy(policy)
    model, (dense, raw) = small.dlrm(ids, bits=bits), small.rows(40)
    tensors = {name: t.numpy() for name, t in model.state_dict().items()} | small.id_map_tensors(ids)
    tender = [name for name in tensors if name.startswith(("ids.", "embeddings."))]
    seen = {"refused": 0, "scored": 0}
    for _ in range(ARTIFACTS):
        names = draw.sample(tender, draw.choice((1, 1, 2))) if draw.random() < 0.8 else [draw.choice(list(tensors))]
        changed = {name: draw.choice(CHANGES)(tensors[name], draw) for name in names}
        try:
            loaded = load(small.write(tmp_path / "x.pocket", model, ids, tensors=changed))
        except ArtifactError:
            seen["refused"] += 1
            continue
        scores = loaded.score(dense, raw)
        assert scores.shape == (40,)
        assert ((scores >= 0) & (scores <= 1)).all()
        seen["scored"] += 1
    assert min(seen.values()) > ARTIFACTS // 20, "the changes no longer reach both"
