"""`EmbeddingBag` and `Embedding`: torch's arguments and semantics over one virtual table."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pocketrec.embedding.arguments import as_ids, check_sharing, check_weights_allowed, refuse
from pocketrec.embedding.tables import SharedTables
from pocketrec.errors import UsageError, one_of
from pocketrec.sharing import Robe, Scheme, Table
from pocketrec.sharing.table import POOLINGS


class _OneTable(SharedTables):
    """A single virtual table; the arguments and attributes are those of torch's modules."""

    def __init__(
        self,
        num_embeddings: int | None,
        embedding_dim: int,
        *,
        mode: str,
        padding_idx: int | None,
        max_norm: float | None,
        norm_type: float,
        scale_grad_by_freq: bool,
        sparse: bool,
        weight: Tensor | None,
        sharing: Scheme | None,
        **owner: Any,
    ) -> None:
        sharing = Robe() if sharing is None else sharing
        check_sharing(sharing)
        one_of("mode", mode, POOLINGS)
        refuse(
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            sparse=sparse,
            row_sparse=sharing.row_sparse,
        )
        table = Table("table", num_embeddings, embedding_dim, pooling=mode, padding_idx=padding_idx)
        super().__init__([table], sharing, **owner)
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = None if padding_idx is None else table.padding
        if weight is not None:
            self._start_from(weight)

    def __getattr__(self, name: str) -> Any:
        if name == "weight":
            raise AttributeError(
                f"{type(self).__name__} has no weight: its rows are recovered when they are looked up. For all of them "
                "look up torch.arange(num_embeddings); compress_(where=...) keeps an embedding as it is"
            )
        return super().__getattr__(name)

    def _start_from(self, weight: Tensor) -> None:
        """Take over torch's `_weight`, an (n, D) table, where rows have slots of their own."""
        if not self.sparse_gradients:
            raise UsageError(
                "_weight is a full table, which a shared memory cannot hold; use sharing=Full(), or leave it None"
            )
        own = self.get_parameter(self._parts[0].parameter)
        if weight.shape != own.shape:
            raise UsageError(f"_weight must have shape {tuple(own.shape)}, got {tuple(weight.shape)}")
        with torch.no_grad():
            own.copy_(weight)


class EmbeddingBag(_OneTable):
    """`torch.nn.EmbeddingBag` over a shared memory: same arguments, same meaning; ours are keyword-only and last.

    bag(ids) equals the pool of the recovered rows, for every scheme, with duplicates, padding and empty bags (zeros).

    Args:
        num_embeddings, embedding_dim, mode, include_last_offset, padding_idx, device, dtype: as in torch.
        max_norm, norm_type, scale_grad_by_freq, sparse: refused unless at torch's default; they make no sense when
            rows share slots (`sparse=True` is what `Full` does anyway).
        sharing: a sharing scheme, `Robe()` by default; `Full()` for an ordinary table.
        compression, memory_size or memory_bytes: the budget; see `SharedTables`.
        init, seed: see `SharedTables`.

    Example:
        >>> bag = EmbeddingBag(10_000_000, 64, mode="sum", compression=1000)
        >>> bag(torch.tensor([5, 9_999_999, 7]), torch.tensor([0, 2])).shape
        torch.Size([2, 64])
    """

    def __init__(
        self,
        num_embeddings: int | None,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        sharing: Scheme | None = None,
        memory_size: int | None = None,
        memory_bytes: int | None = None,
        compression: float | None = None,
        init: float | str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            num_embeddings,
            embedding_dim,
            mode=mode,
            padding_idx=padding_idx,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            sparse=sparse,
            weight=_weight,
            sharing=sharing,
            memory_size=memory_size,
            memory_bytes=memory_bytes,
            compression=compression,
            init=init,
            seed=seed,
            device=device,
            dtype=dtype,
        )
        self.mode = mode
        self.include_last_offset = include_last_offset

    def forward(self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None) -> Tensor:
        """(N,) ids with (B,) offsets, or (B, L) ids -> (B, D); exactly as `torch.nn.EmbeddingBag`.

        Raises:
            ValueError: ids that are not integers or out of range, offsets missing, falling or not starting at 0,
                weights of another shape or with a mode other than sum.
        """
        ids = as_ids("input", input)
        if per_sample_weights is not None:
            check_weights_allowed({self.mode})
            if per_sample_weights.shape != input.shape:
                raise UsageError(
                    f"per_sample_weights must have the shape of input, {tuple(input.shape)}, "
                    f"got {tuple(per_sample_weights.shape)}"
                )
            per_sample_weights = per_sample_weights.reshape(-1)
        return self.lookup(ids.reshape(-1), self._full_offsets(ids, offsets), per_sample_weights)

    def _full_offsets(self, ids: Tensor, offsets: Tensor | None) -> Tensor:
        """B+1 offsets, the last one N, from what torch's conventions give."""
        if ids.dim() == 2:
            if offsets is not None:
                raise UsageError("a 2-D input has one bag a row and takes no offsets")
            bags, length = ids.shape
            return torch.arange(bags + 1, device=ids.device) * length
        if ids.dim() != 1:
            raise UsageError(f"input must be 1-D or 2-D, got shape {tuple(ids.shape)}")
        if offsets is None:
            raise UsageError("a 1-D input needs offsets: where each bag starts")
        offsets = as_ids("offsets", offsets)
        if offsets.dim() != 1:
            raise UsageError(f"offsets must be 1-D, got shape {tuple(offsets.shape)}")
        if self.include_last_offset:
            return offsets
        return torch.cat([offsets, offsets.new_full((1,), ids.shape[0])])


class Embedding(_OneTable):
    """`torch.nn.Embedding` over a shared memory: ids of any shape -> that shape + (D,).

    Arguments as in torch, ours keyword-only and last (see `EmbeddingBag`). The row of `padding_idx` is always
    zero and gets no gradient (torch reads it from the table, where it starts as zero).
    """

    def __init__(
        self,
        num_embeddings: int | None,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        sharing: Scheme | None = None,
        memory_size: int | None = None,
        memory_bytes: int | None = None,
        compression: float | None = None,
        init: float | str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            num_embeddings,
            embedding_dim,
            mode="sum",
            padding_idx=padding_idx,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            sparse=sparse,
            weight=_weight,
            sharing=sharing,
            memory_size=memory_size,
            memory_bytes=memory_bytes,
            compression=compression,
            init=init,
            seed=seed,
            device=device,
            dtype=dtype,
        )
        self.requires_grad_(not _freeze)

    def forward(self, input: Tensor) -> Tensor:
        """Ids of any shape -> their rows, shape + (D,).

        Raises:
            ValueError: ids that are not integers, or out of range.
        """
        ids = as_ids("input", input)
        return self.lookup(ids.reshape(-1, 1)).view(*input.shape, self.embedding_dim)
