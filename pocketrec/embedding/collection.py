"""Many tables, one memory, one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pocketrec.embedding.arguments import as_ids, check_weights_allowed
from pocketrec.embedding.tables import SharedTables
from pocketrec.errors import UsageError
from pocketrec.sharing import Robe, Scheme, Table

Bags = tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Tensor | None]


class EmbeddingBagCollection(SharedTables):
    """Named virtual tables that share one memory, looked up all at once.

    Called with ids (B, F), one id a feature: returns (B, F, D), or (B, sum of D) where tables differ in width.
    Called with bags `(values, offsets, per_sample_weights=None)`: feature-major, as in FBGEMM, F*B+1 offsets:

        two features, three samples       values   [ 7 | 3 5 |   | 2 | 9 9 1 | 4 ]
                                                     b0  b1   b2  b0   b1     b2
                                                    '-- feature 0 --'-- feature 1 --'
                                          offsets  [0,  1,   3,  3,  4,     7,   8]

    F is the number of features of all tables, in the order of `tables` and of each table's `features`.

    Args:
        tables: see `Table`.
        sharing: `Robe(chunk_size=16)` unless said otherwise.
        memory_size, compression, init, seed, device, dtype: see `SharedTables`.

    Example:
        >>> tables = [Table("user", 1_000_000, 16), Table("item", 300_000, 16)]
        >>> embeddings = EmbeddingBagCollection(tables, sharing=Robe(chunk_size=16), compression=1000)
        >>> embeddings(torch.tensor([[12, 7], [999_999, 0]])).shape
        torch.Size([2, 2, 16])
    """

    def __init__(
        self,
        tables: Sequence[Table],
        sharing: Scheme | None = None,
        *,
        memory_size: int | None = None,
        compression: float | None = None,
        init: float | str | None = None,
        seed: int = 0,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            tables,
            Robe() if sharing is None else sharing,
            memory_size=memory_size,
            compression=compression,
            init=init,
            seed=seed,
            device=device,
            dtype=dtype,
        )

    @property
    def embedding_dim(self) -> int | None:
        """D where all tables have the same, else None."""
        return self.dims[0] if len(set(self.dims)) == 1 else None

    def forward(self, ids: Tensor | Bags) -> Tensor:
        """(B, F) ids or bags -> (B, F, D), or (B, sum of D) where widths differ.

        Raises:
            ValueError: see `pocketrec.ops.lookup`.
        """
        if isinstance(ids, Tensor):
            pooled = self.lookup(as_ids("ids", ids))
        else:
            if not isinstance(ids, tuple | list) or len(ids) not in (2, 3):
                raise UsageError("bags are a tuple (values, offsets) or (values, offsets, per_sample_weights)")
            values, offsets, weights = ids if len(ids) == 3 else (*ids, None)
            if weights is not None:
                check_weights_allowed({t.pooling for t in self.tables})
            pooled = self.lookup(as_ids("values", values), as_ids("offsets", offsets), weights)
        dim = self.embedding_dim
        return pooled if dim is None else pooled.view(pooled.shape[0], self.num_features, dim)
