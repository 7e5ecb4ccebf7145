"""ROBE-Z (Desai, Chou & Shrivastava, arXiv 2108.02191; the scheme of arXiv 2207.10731): chunks of one array, hashed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pocketrec import hashing
from pocketrec.errors import UsageError, one_of, true_or_false, whole_number
from pocketrec.ops import FeatureLayout, Rule, Sign
from pocketrec.sharing.budget import Budget
from pocketrec.sharing.scheme import Placement, Shared, one_piece
from pocketrec.sharing.table import Table
from pocketrec.sharing.terms import Terms

HASHES = ("mixing", "linear", "authors")


@dataclass(frozen=True)
class Robe(Shared):
    """row(x)[c*Z + i] = g * memory[(align * h(table, x, c) + i) mod M]: each chunk of Z elements is a run of slots.

    One memory serves all tables. Stores M slots, whatever the tables' sizes.

    Args:
        chunk_size: Z. 1, signed, is `HashedNets`; D copies whole rows. A last chunk may be shorter.
        hash: "mixing" places every chunk independently; "linear" is the paper's formula, under which ids that meet
            in one chunk meet in all, but consecutive ids spread evenly (M at most P = 2,038,074,743); "authors" is
            bit-exact with the authors' kernel (github.com/apd10/robez): never wraps, tells tables apart by the sum of
            earlier sizes.
        signed: multiply by +1 or -1: per chunk (mixing) or per element (linear, as the paper).
        align: chunk starts are multiples of it. `align=chunk_size` reads the fewest cache lines.
        num_hashes: k; a row is the sum of k such reads, each hashed independently, which takes the mixing hash. Ids
            that meet under one hash hardly meet under all; a lookup costs k times as much.
    """

    chunk_size: int = 16
    hash: str = "mixing"
    signed: bool = False
    align: int = 1
    num_hashes: int = 1

    def __post_init__(self) -> None:
        for name in ("chunk_size", "align", "num_hashes"):
            whole_number(name, getattr(self, name), at_least=1)
        one_of("hash", self.hash, HASHES)
        true_or_false("signed", self.signed)
        if self.hash == "authors" and (self.signed or self.align != 1):
            raise UsageError("hash='authors' is bit-exact with a kernel that has neither signs nor alignment")
        if self.hash != "mixing" and self.num_hashes > 1:
            why = "under the others, ids that meet in one read meet in all"
            raise UsageError(f"num_hashes={self.num_hashes} takes hash='mixing', got {self.hash!r}: {why}")

    def place(self, tables: Sequence[Table], budget: Budget, seed: int) -> Placement:
        memory_size = budget.slots
        largest = max((min(self.chunk_size, t.embedding_dim) for t in tables), default=1)
        if self.hash == "authors":
            largest = self.chunk_size  # which it always leaves room for before the end
        needs = f"one chunk of {largest} slots" if largest >= self.align else f"one start at align={self.align}"
        budget.require(max(largest, self.align), needs)
        if memory_size >= hashing.SLOT_LIMIT:
            told = f"a memory that chunks are hashed into has fewer than 2^31 slots, got {memory_size}"
            raise UsageError(f"{told}: compress more, or use a scheme that gives each table rows (low-rank, qr)")
        if self.hash == "linear" and memory_size > hashing.PRIME:
            reach = f"the linear hash reaches only {hashing.PRIME} slots, got {memory_size}"
            raise UsageError(f"{reach}: use hash='mixing', or less memory")
        offset, layouts = 0, []
        for number, table in enumerate(tables):
            layouts.append(self._place_table(table, number, offset, memory_size, seed))
            offset += table.num_embeddings or hashing.AUTHORS_ID_LIMIT
        if self.num_hashes == 1:
            return one_piece(layouts, memory_size)
        layouts = [layout._replace(num_embeddings=hashing.ID_LIMIT) for layout in layouts]
        terms = Terms(self.num_hashes, [False] * len(tables), [slice(0, memory_size)])
        return one_piece(layouts, memory_size, terms)

    def _place_table(self, table: Table, number: int, offset: int, memory_size: int, seed: int) -> FeatureLayout:
        chunk = min(self.chunk_size, table.embedding_dim)
        region = table.layout(
            rule=Rule.MIXING,
            base=0,
            span=memory_size,
            chunk=chunk,
            align=self.align,
            places=memory_size // self.align,
        )
        if self.hash == "mixing":
            sign = Sign.PER_CHUNK if self.signed else Sign.NONE
            return region._replace(place_0=hashing.mixing_key(seed, number), sign=sign)
        if self.hash == "authors":
            return _authors(region, table, offset, memory_size - self.chunk_size + 1)
        constant, id_factor, chunk_factor = hashing.linear_coefficients(seed, number)
        region = region._replace(rule=Rule.LINEAR, place_0=constant, place_1=id_factor, place_2=chunk_factor)
        if not self.signed:
            return region
        constant, id_factor, element_factor = hashing.linear_coefficients(seed, number, stream=1)
        return region._replace(sign=Sign.PER_ELEMENT, sign_0=constant, sign_1=id_factor, sign_2=element_factor)


def _authors(region: FeatureLayout, table: Table, offset: int, places: int) -> FeatureLayout:
    """The authors' placement: `offset` is the rows of all earlier tables; starts stop one chunk before the end."""
    limit = hashing.AUTHORS_ID_LIMIT - offset + 1
    if limit < (table.num_embeddings or 1):
        raise UsageError(
            f"table {table.name!r}: the authors' kernel overflows above id {hashing.AUTHORS_ID_LIMIT} "
            f"(id + rows of earlier tables); its ids start at {offset}"
        )
    constant, id_factor, chunk_factor = hashing.authors_coefficients(offset)
    return region._replace(
        rule=Rule.LINEAR,
        num_embeddings=min(limit, region.num_embeddings),
        places=places,
        place_0=constant,
        place_1=id_factor,
        place_2=chunk_factor,
    )
