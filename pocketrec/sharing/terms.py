"""Several hashes of one id: rows that are sums of rows, each read under a hash of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pocketrec import hashing
from pocketrec.sharing.recovery import PADDED, Recovery

STEP = 0x278DDE6E5FD29F05  # 2^62 over the golden ratio: multiples of it lie far apart


class Terms(Recovery):
    """Term j of id x is looked up as the id x xor (j * step mod 2^62), under the one hash of its table.

    Xor maps the ids below 2^62 onto themselves, so term 0 is the id itself, open-ended tables lose none, and two terms
    have the same id only where two ids differ in just those 62 bits: in tables of up to 2^56 rows none do, for up to
    16 terms. Of tables kept exactly, only term 0 counts.

    Args:
        num_hashes: the terms.
        exact: of each table, whether it is kept exactly.
        summed: slots that are summed from scratch: their initial values shrink, so that sums spread as single rows do.
    """

    steps: Tensor
    alone: Tensor

    def __init__(self, num_hashes: int, exact: Sequence[bool], summed: Sequence[slice] = ()) -> None:
        super().__init__()
        self.terms, self.summed, self.some_exact = num_hashes, tuple(summed), any(exact)
        self.constant("steps", [j * STEP % hashing.ID_LIMIT for j in range(num_hashes)])
        self.constant("alone", list(exact))

    def translate(self, ids: Tensor, tables: Tensor) -> tuple[Tensor, Tensor | None]:
        pieces = ids[..., None] ^ self.steps
        if self.some_exact:
            pieces = torch.where(self.alone[tables][..., None] & (self.steps != 0), PADDED, pieces)
        return pieces[..., None, :], None

    @torch.no_grad()
    def reset(self, memory: Tensor | None, bound: float) -> None:
        super().reset(memory, bound)
        assert memory is not None
        for slots in self.summed:
            memory[slots].mul_(1 / math.sqrt(self.terms))
