"""Hand-made Criteo lines, and a plain-Python reading of them to compare with."""

import random
from pathlib import Path

import numpy as np

DENSE, FEATURES = 13, 26


def line(label=0, dense=(), ids=()):
    """One line; missing fields are blank."""
    dense = [*dense, *[""] * (DENSE - len(dense))]
    ids = [*ids, *[""] * (FEATURES - len(ids))]
    return "\t".join(map(str, [label, *dense, *ids]))


def random_lines(rows, seed=0, values=6):
    """Lines with few distinct ids, negative and blank fields."""
    rng = random.Random(seed)
    return [
        line(
            rng.randint(0, 1),
            [rng.choice(["", -1, 0, rng.randint(1, 5000)]) for _ in range(DENSE)],
            ["" if rng.random() < 0.2 else f"{rng.randint(0, values) * 700001:08x}" for _ in range(FEATURES)],
        )
        for _ in range(rows)
    ]


def write(path, lines):
    """Write lines, return the path."""
    Path(path).write_text("".join(f"{text}\n" for text in lines))
    return Path(path)


def expected(lines):
    """(labels, dense, ids) as `prepare` should store them."""
    fields = [text.split("\t") for text in lines]
    labels = np.array([int(row[0]) for row in fields])
    dense = np.array([[np.log1p(max(int(x or 0), 0)) for x in row[1:14]] for row in fields])
    ids = np.array([[int(x or "0", 16) for x in row[14:]] for row in fields], np.int64)
    return labels, dense, ids


def stored(folder, split, shards=(0,)):
    """(labels, dense, ids) of one split, shards one after the other."""
    parts = [
        [np.load(folder / f"{split}_{s:05d}_{kind}.npy") for s in shards] for kind in ("labels", "dense", "sparse")
    ]
    return tuple(np.concatenate(part) for part in parts)
