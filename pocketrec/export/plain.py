"""The lookup in tensor arithmetic alone, all features in one set of operations: what graphs that leave PyTorch hold.

Within `plain(model, dialect)` a model's forward meets no custom op. Every scheme comes through here, for it is told by
layouts, and by a `Recovery` in PyTorch around the lookup. `pocketrec.ops.reference` says what must come out.

Letters: B samples, K terms of a sum, P pieces (one a feature, unless a row has several side by side),
C chunks of all pieces, Z slots of a block: the most that all chunks can be read in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from pocketrec import hashing, ops
from pocketrec.embedding import EmbeddingBag, EmbeddingBagCollection, SharedTables
from pocketrec.embedding.parts import Part
from pocketrec.errors import UsageError
from pocketrec.export.bags import PaddedBags, pooled
from pocketrec.export.coded import combiner
from pocketrec.export.dialects import Dialect, Hash
from pocketrec.ops import FeatureLayout, Rule, Sign
from pocketrec.ops.layout import SCALE_BLOCK
from pocketrec.sharing.networks import BUCKETS, Networks
from pocketrec.sharing.transform_coding import Coded


@dataclass(frozen=True)
class Memory:
    """Numbers as they are stored: floating point; int8 with scales; or uint8, two integers of 4 bits each."""

    stored: Tensor
    scales: Tensor | None
    slots: int

    @classmethod
    def of(cls, stored: Tensor, scales: Tensor | None) -> Memory:
        """Of a module's tensors."""
        packed = stored.dtype == torch.uint8
        return cls(stored, scales, stored.numel() * (2 if packed else 1))


class Blocks:
    """How the rows of some pieces divide into blocks of Z slots; all in plain numbers."""

    def __init__(self, rows: Sequence[FeatureLayout], memory: Memory) -> None:
        self.rows = rows
        counts = [-(-row.dim // row.chunk) for row in rows]
        self.piece_of_chunk = [p for p, count in enumerate(counts) for _ in range(count)]
        self.number_of_chunk = [c for count in counts for c in range(count)]
        self.lengths = [
            min(rows[p].chunk, rows[p].dim - c * rows[p].chunk)
            for p, c in zip(self.piece_of_chunk, self.number_of_chunk, strict=True)
        ]
        self.wraps = [_may_wrap(row) for row in rows]
        steps = [step for row, wraps in zip(rows, self.wraps, strict=True) for step in _steps(row, wraps)]
        largest = SCALE_BLOCK if memory.scales is not None else memory.slots
        self.size = math.gcd(largest, memory.slots, *steps, *self.lengths)
        self.round = all(
            row.base == 0 and row.span == memory.slots for row, w in zip(rows, self.wraps, strict=True) if w
        )
        """Whether all that can pass the end of its region comes round to the first slot of the memory."""

    def of_chunks(self, name: str) -> list[int]:
        """A number of the layout, of each chunk."""
        return [getattr(self.rows[p], name) for p in self.piece_of_chunk]

    @property
    def counts(self) -> list[int]:
        """Blocks of each chunk."""
        return [length // self.size for length in self.lengths]

    @property
    def chunk_of_column(self) -> list[int]:
        """Of each output column."""
        return [c for c, length in enumerate(self.lengths) for _ in range(length)]

    @property
    def piece_of_column(self) -> list[int]:
        """Of each output column."""
        return [p for p, row in enumerate(self.rows) for _ in range(row.dim)]


def _may_wrap(row: FeatureLayout) -> bool:
    return row.rule != Rule.DIRECT and (row.places - 1) * row.align + min(row.chunk, row.dim) > row.span


def _steps(row: FeatureLayout, wraps: bool) -> list[int]:
    """What all block starts of a piece are multiples of together."""
    steps = [row.base, row.align]
    if row.dim > row.chunk:
        steps.append(row.chunk)
    if row.exact:
        steps += [row.exact_base, row.dim]
    return [*steps, row.span] if wraps else steps


class Lookup:
    """Looks ids of pieces up, in a dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect, self.hash = dialect, Hash(dialect)

    def __call__(
        self, memory: Memory, ids: Tensor, weights: Tensor | None, rows: Sequence[FeatureLayout], may_pad: bool
    ) -> Tensor:
        """ids (B, P), or (B, P, K) with K summed up -> (B, sum of the pieces' dims), float32; weights like the ids.

        `may_pad` says whether ids may be padding, which layouts cannot: those of terms always allow it.
        """
        summed = ids.dim() == 3
        if summed:
            ids = ids.transpose(1, 2)
            weights = None if weights is None else weights.transpose(1, 2)
        padded = may_pad and any(row.padding >= 0 for row in rows)
        kept = ids != _numbers([row.padding for row in rows]) if padded else None
        if kept is not None:
            ids = torch.where(kept, ids, 0)
        blocks = Blocks(rows, memory)
        chunks, signs = self._chunks(ids, blocks)
        values = self._read(memory, blocks, chunks)
        if signs is not None:
            values = values * signs
        if weights is not None:
            values = values * _by_column(weights, blocks)
        if kept is not None:
            values = torch.where(_by_column(kept, blocks), values, 0.0)
        return values.sum(1) if summed else values

    def _chunks(self, ids: Tensor, blocks: Blocks) -> tuple[Tensor, Tensor | None]:
        """(..., P) -> the first block of each chunk (..., C); what each column is multiplied by, if anything."""
        rows, size = blocks.rows, blocks.size
        own_ids = _spread(ids, blocks.piece_of_chunk)
        rules = {row.rule for row in rows}
        places, signs = own_ids, None
        if Rule.LINEAR in rules:
            places = self._chosen(blocks, Rule.LINEAR, rules, self._linear(ids, blocks), places)
        if Rule.MIXING in rules:
            hashed = self._mixing(ids, blocks)
            found = self.hash.scale(hashed, _numbers(blocks.of_chunks("places")))
            places = self._chosen(blocks, Rule.MIXING, rules, found, places)
            if any(row.sign == Sign.PER_CHUNK for row in rows):
                signs = hashed & _numbers([int(s == Sign.PER_CHUNK) for s in blocks.of_chunks("sign")])
        starts = _scaled(places, [a // size for a in blocks.of_chunks("align")])
        starts = _shifted(starts, [b // size for b in blocks.of_chunks("base")])
        exact = None
        if any(row.exact for row in rows):
            exact, own_starts = self._exact(own_ids, blocks)
            starts = torch.where(exact, own_starts, starts)
        if signs is not None:
            signs = signs if exact is None else torch.where(exact, 0, signs)
            signs = (1 - 2 * signs).float()
            signs = _spread(signs, blocks.chunk_of_column)
        if any(row.sign == Sign.PER_ELEMENT for row in rows):
            signs = self._element_signs(ids, blocks)
        return starts, signs

    @staticmethod
    def _exact(ids: Tensor, blocks: Blocks) -> tuple[Tensor, Tensor]:
        """Which chunks are of ids that have rows of their own, and the first block of each."""
        rows = [blocks.rows[p] for p in blocks.piece_of_chunk]
        first = [row.exact_base + c * row.chunk for row, c in zip(rows, blocks.number_of_chunk, strict=True)]
        widths = [row.dim // blocks.size if row.exact else 0 for row in rows]
        own = _shifted(_scaled(ids, widths), [slot // blocks.size for slot in first])
        return ids < _numbers([row.exact for row in rows]), own

    def _chosen(self, blocks: Blocks, rule: Rule, rules: set[int], found: Tensor, others: Tensor) -> Tensor:
        if len(rules) == 1:
            return found
        return torch.where(torch.tensor([r == rule for r in blocks.of_chunks("rule")]), found, others)

    def _mixing(self, ids: Tensor, blocks: Blocks) -> Tensor:
        """(..., P) -> hash v1 of each chunk (..., C)."""
        keys = [row.place_0 if row.rule == Rule.MIXING else 0 for row in blocks.rows]
        of_rows = _spread(self.hash.mix64(ids * hashing.ID_STEP + _numbers(keys)), blocks.piece_of_chunk)
        return self.hash.mix64(
            _shifted(of_rows, [hashing._signed(c * hashing.CHUNK_STEP) for c in blocks.number_of_chunk])
        )

    def _linear(self, ids: Tensor, blocks: Blocks) -> Tensor:
        """(..., P) -> the linear hash of each chunk, reduced to its places (..., C)."""
        own = [(r.place_coefficients if r.rule == Rule.LINEAR else (0, 0, 0)) for r in blocks.rows]
        of_rows = _spread(ids % hashing.PRIME * _numbers([b for _, b, _ in own]) % hashing.PRIME, blocks.piece_of_chunk)
        added = [
            (own[p][0] + c * own[p][2]) % hashing.PRIME
            for p, c in zip(blocks.piece_of_chunk, blocks.number_of_chunk, strict=True)
        ]
        return (of_rows + _numbers(added)) % hashing.PRIME % _numbers(blocks.of_chunks("places"))

    def _element_signs(self, ids: Tensor, blocks: Blocks) -> Tensor:
        own = [row.sign_coefficients for row in blocks.rows]
        of_rows = ids % hashing.PRIME * _numbers([b for _, b, _ in own]) % hashing.PRIME
        added = [
            (own[p][0] + e * own[p][2]) % hashing.PRIME for p, row in enumerate(blocks.rows) for e in range(row.dim)
        ]
        hashed = (_spread(of_rows, blocks.piece_of_column) + _numbers(added)) % hashing.PRIME
        signed = [blocks.rows[p].sign == Sign.PER_ELEMENT for p in blocks.piece_of_column]
        signs = (2 * (hashed & 1) - 1).float()
        return signs if all(signed) else torch.where(torch.tensor(signed), signs, 1.0)

    def _read(self, memory: Memory, blocks: Blocks, starts: Tensor) -> Tensor:
        """First blocks of chunks (..., C) -> (..., sum of dims) float32."""
        leading = starts.dim() - 1
        units = memory.slots // blocks.size
        if 2 * units < 1 << 31:
            starts = starts.to(torch.int32)
        # A place less the number of all is negative, unless it has passed the end: then it has come round.
        around = self.dialect.from_the_end and any(blocks.wraps) and blocks.round and memory.scales is None
        starts = _inner(starts, blocks.counts, units if around else 0)
        if any(blocks.wraps) and not around:
            starts = _wrapped(starts, blocks)
        values = self._values(memory, blocks.size, starts)
        return values.flatten(leading)

    def _values(self, memory: Memory, size: int, blocks: Tensor) -> Tensor:
        """Numbers of blocks, any shape -> that shape, and Z more where that is not 1."""
        take, shape = self.dialect.take, (-1,) if size == 1 else (-1, size)
        if memory.scales is None:
            return take(memory.stored.view(shape), blocks).float()
        scales = take(memory.scales, _divided(blocks, SCALE_BLOCK // size, self.dialect))
        if memory.stored.dtype == torch.int8:
            steps = take(memory.stored.view(shape), blocks).float()
        else:
            steps = self._halves(memory.stored, size, blocks)
        return steps * (scales if size == 1 else scales.unsqueeze(-1))

    def _halves(self, packed: Tensor, size: int, blocks: Tensor) -> Tensor:
        """Steps of 4 bits, two a byte, the earlier one in the lower half."""
        if size % 2:
            pairs = self.dialect.take(packed, _divided(blocks, 2, self.dialect)).int()
            steps = torch.where((blocks & 1) == 1, pairs // 16, pairs % 16)
        else:
            pairs = self.dialect.take(packed.view(-1, size // 2), blocks).int()
            steps = torch.stack([pairs % 16, pairs // 16], -1).flatten(-2)
        return ((steps ^ 8) - 8).float()


def _inner(starts: Tensor, counts: Sequence[int], less: int) -> Tensor:
    """First blocks of chunks (..., C) -> all blocks, `less` so much: (..., C, n) where all chunks have n, else flat."""
    if len(set(counts)) > 1:
        starts = _spread(starts, [c for c, n in enumerate(counts) for _ in range(n)])
        return _shifted(starts, [i - less for n in counts for i in range(n)], starts.dtype)
    if counts[0] > 1:
        starts = starts.unsqueeze(-1)
    return _shifted(starts, [i - less for i in range(counts[0])], starts.dtype)


def _wrapped(starts: Tensor, blocks: Blocks) -> Tensor:
    """Blocks that passed the end of their region, back at its beginning."""
    uniform = len(set(blocks.counts)) == 1
    chunk_of_block = [c for c, n in enumerate(blocks.counts) for _ in range(1 if uniform else n)]
    rows = [blocks.rows[blocks.piece_of_chunk[c]] for c in chunk_of_block]
    wraps = [blocks.wraps[blocks.piece_of_chunk[c]] for c in chunk_of_block]
    nowhere = (1 << 31) - 1
    ends = [(row.base + row.span) // blocks.size if w else nowhere for row, w in zip(rows, wraps, strict=True)]
    spans = [row.span // blocks.size if w else 0 for row, w in zip(rows, wraps, strict=True)]
    end, span = (_numbers(values, starts.dtype) for values in (ends, spans))
    if uniform and blocks.counts[0] > 1 and end.dim() + span.dim():
        end, span = (t.unsqueeze(-1) if t.dim() else t for t in (end, span))
    return torch.where(starts >= end, starts - span, starts)


def _divided(x: Tensor, by: int, dialect: Dialect) -> Tensor:
    """Places // a power of two."""
    return x if by == 1 else dialect.shift_right(x.long(), by.bit_length() - 1)


def _chunk_steps(chunks: Sequence[int]) -> list[int]:
    """What hash v1 adds for each chunk."""
    return [hashing._signed(c * hashing.CHUNK_STEP) for c in chunks]


def _numbers(values: Sequence[int], dtype: torch.dtype = torch.int64) -> Tensor:
    """One number where all are the same: it broadcasts."""
    return torch.tensor(values[0] if len(set(values)) == 1 else values, dtype=dtype)


def _scaled(x: Tensor, factors: Sequence[int]) -> Tensor:
    return x if set(factors) == {1} else x * _numbers(factors)


def _shifted(x: Tensor, added: Sequence[int], dtype: torch.dtype = torch.int64) -> Tensor:
    return x if set(added) == {0} else x + _numbers(added, dtype)


def _spread(x: Tensor, chosen: Sequence[int]) -> Tensor:
    """(..., n) -> (..., len(chosen))."""
    return x if list(chosen) == list(range(x.shape[-1])) else x.index_select(-1, torch.tensor(chosen))


def _by_column(x: Tensor, blocks: Blocks) -> Tensor:
    """(..., P) -> (..., width)."""
    return _spread(x, blocks.piece_of_column)


@contextmanager
def plain(dialect: Dialect) -> Iterator[None]:
    """Within it, every pocketrec embedding computes its rows in tensor arithmetic of the dialect. Not for training."""
    look_up, own = Lookup(dialect), Hash(dialect)

    def read(
        self: SharedTables, part: Part, layout: Tensor, ids: Tensor, offsets: Tensor | None, weights: Tensor | None
    ) -> Tensor:
        recovery = self.recovery
        may_pad = recovery is None or getattr(recovery, "some_exact", False)
        may_pad = may_pad or any(row.padding >= 0 for row in getattr(recovery, "rows", ()))
        memory = Memory.of(getattr(self, part.parameter).reshape(-1), self.scales)
        return look_up(memory, ids, weights, part.rows, may_pad)

    def encode(self: Networks, ids: Tensor, tables: Sequence[int], dtype: torch.dtype) -> Tensor:
        keys = _numbers([self.keys_of[t] for t in tables]).view(-1, 1, 1)
        of_rows = own.mix64(ids.t()[..., None] * hashing.ID_STEP + keys)
        hashed = own.scale(own.mix64(of_rows + torch.tensor(_chunk_steps(range(self.num_hashes)))), BUCKETS)
        return ((2 * hashed + 1).float() / BUCKETS - 1).to(dtype)

    lookup = SharedTables.lookup

    def of_ids(self: SharedTables, indices: Tensor, offsets: Tensor | None = None, weights: Any = None) -> Tensor:
        if offsets is not None:
            raise UsageError(
                "model: has bags with offsets, which a graph could only loop over: call it with PaddedBags, or an "
                "EmbeddingBag with 2-D ids"
            )
        return lookup(self, indices, None, weights)

    forward = EmbeddingBagCollection.forward

    def of_collection(self: EmbeddingBagCollection, ids: Any) -> Any:
        return self._by_feature(pooled(self, ids)) if isinstance(ids, PaddedBags) else forward(self, ids)

    of_bags = EmbeddingBag.forward

    def of_bag(self: EmbeddingBag, input: Tensor, offsets: Any = None, per_sample_weights: Any = None) -> Tensor:
        if input.dim() != 2 or offsets is not None:
            return of_bags(self, input, offsets, per_sample_weights)
        weights = None if per_sample_weights is None else per_sample_weights[:, None]
        return pooled(self, PaddedBags(input[:, None], torch.ones_like(input, dtype=torch.bool)[:, None], weights))

    with ExitStack() as stack:
        for owner, name, replacement in (
            (EmbeddingBagCollection, "forward", of_collection),
            (EmbeddingBag, "forward", of_bag),
            (SharedTables, "lookup", of_ids),
            (SharedTables, "_read", read),
            (Coded, "combine", combiner(dialect)),
            (Networks, "_encode", encode),
            (ops, "checked_ids", lambda ids, *_: ids),
            (hashing, "mix64", own.mix64),
            (hashing, "scale", own.scale),
            (hashing, "multiply_shift", own.multiply_shift),
        ):
            stack.enter_context(patch.object(owner, name, replacement))
        yield
