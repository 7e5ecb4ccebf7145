"""Many tables, one memory, one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import torch
from torch import Tensor

from pocketrec.embedding.arguments import as_ids, check_weights_allowed
from pocketrec.embedding.keyed import KeyedJagged, KeyedTensor, TableConfig, bags_of, is_keyed
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

    Called with a `KeyedJaggedTensor` of TorchRec, keys in any order: returns what TorchRec's models read as a
    `KeyedTensor` (see `pocketrec.embedding.keyed`). Weights in it count; TorchRec leaves them out unless told.

    Args:
        tables: see `Table`.
        sharing: `Robe(chunk_size=16)` unless said otherwise.
        memory_size, memory_bytes, compression, init, seed, device, dtype: see `SharedTables`.

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
        memory_bytes: int | None = None,
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
            memory_bytes=memory_bytes,
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

    def embedding_bag_configs(self) -> list[TableConfig]:
        """The tables in TorchRec's words: its DLRM takes this collection for its `embedding_bag_collection`."""
        return [TableConfig(t.name, t.num_embeddings, t.embedding_dim, list(t.features)) for t in self.tables]

    @overload
    def forward(self, ids: Tensor | Bags) -> Tensor: ...
    @overload
    def forward(self, ids: KeyedJagged) -> KeyedTensor: ...

    def forward(self, ids: Tensor | Bags | KeyedJagged) -> Tensor | KeyedTensor:
        """(B, F) ids or bags -> (B, F, D), or (B, sum of D) where widths differ; a KeyedJaggedTensor -> a KeyedTensor.

        Raises:
            ValueError: see `pocketrec.ops.lookup`; a batch that lacks the key of a feature.
        """
        if isinstance(ids, Tensor):
            return self._by_feature(self.lookup(as_ids("ids", ids)))
        if isinstance(ids, tuple | list):
            if len(ids) not in (2, 3):
                raise UsageError("bags are a tuple (values, offsets) or (values, offsets, per_sample_weights)")
            return self._by_feature(self._pool(*ids))
        if is_keyed(ids):
            return KeyedTensor(self.feature_names, self.dims, self._pool(*bags_of(ids, self.tables)))
        raise UsageError(f"ids must be a Tensor, bags or a KeyedJaggedTensor, got a {type(ids).__name__}")

    def _pool(self, values: Tensor, offsets: Tensor, weights: Tensor | None = None) -> Tensor:
        if weights is not None:
            check_weights_allowed({t.pooling for t in self.tables})
        return self.lookup(as_ids("values", values), as_ids("offsets", offsets), weights)

    def _by_feature(self, pooled: Tensor) -> Tensor:
        dim = self.embedding_dim
        return pooled if dim is None else pooled.view(pooled.shape[0], self.num_features, dim)
