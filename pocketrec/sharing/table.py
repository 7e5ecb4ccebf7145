"""A virtual table: what a sharing scheme is asked to serve."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pocketrec import hashing
from pocketrec.errors import UsageError, one_of, whole_number
from pocketrec.ops import FeatureLayout, Mode

POOLINGS = {"sum": Mode.SUM, "mean": Mode.MEAN, "max": Mode.MAX}


@dataclass(frozen=True)
class Table:
    """One virtual embedding table and the features that look into it.

    Args:
        name: for messages and reports; unique within a collection.
        num_embeddings: rows; None makes a hashed table open-ended: any id in [0, 2^62).
        embedding_dim: D, the width of a row.
        features: the features that share the table; the table's own name when not given.
        pooling: how a bag becomes one vector: "sum", "mean" or "max".
        padding_idx: an id that contributes nothing; negative counts from the end, as in torch.
    """

    name: str
    num_embeddings: int | None
    embedding_dim: int
    features: tuple[str, ...] = ()
    pooling: str = "sum"
    padding_idx: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.features, str) or not isinstance(self.features, Iterable):
            raise UsageError(f"table {self.name!r}: features is a tuple of names, got {self.features!r}")
        object.__setattr__(self, "features", tuple(self.features) or (self.name,))
        broken = [name for name in self.features if "\n" in name]
        if broken:
            raise UsageError(f"table {self.name!r}: a feature's name holds no line break, got {broken[0]!r}")
        n = self.num_embeddings
        if n is not None and whole_number(f"table {self.name!r}: num_embeddings", n, at_least=1) > hashing.ID_LIMIT:
            raise UsageError(f"table {self.name!r}: num_embeddings must be at most 2^62 or None, got {n}")
        whole_number(f"table {self.name!r}: embedding_dim", self.embedding_dim, at_least=1)
        one_of(f"table {self.name!r}: pooling", self.pooling, POOLINGS)
        p, what = self.padding_idx, f"table {self.name!r}: padding_idx"
        if p is not None and whole_number(what, p, at_least=-(n or 0)) >= self.id_limit:
            raise UsageError(f"{what} must be below num_embeddings={n}, got {p}")

    @property
    def id_limit(self) -> int:
        """What ids are below: `num_embeddings`, or 2^62 where the table is open-ended."""
        return self.num_embeddings or hashing.ID_LIMIT

    def known_rows(self, what: str) -> int:
        """`num_embeddings`, which `what` needs.

        Raises:
            UsageError: the table is open-ended.
        """
        if self.num_embeddings is None:
            raise UsageError(f"table {self.name!r}: {what} needs num_embeddings; only hashed ones are open-ended")
        return self.num_embeddings

    @property
    def padding(self) -> int:
        """`padding_idx` counted from the front, or -1 when there is none."""
        p = self.padding_idx
        if p is None:
            return -1
        return p if p >= 0 else p + (self.num_embeddings or 0)

    def layout(self, **placement: int) -> FeatureLayout:
        """This table's row of a layout, given where a scheme places it; the collection fills in the column."""
        defaults = {
            "num_embeddings": self.id_limit,
            "padding": self.padding,
            "dim": self.embedding_dim,
            "column": 0,
            "mode": POOLINGS[self.pooling],
            "sign": 0,
            "align": 1,
        }
        return FeatureLayout(**(defaults | placement))
