"""TorchRec's objects by their shape alone: a `KeyedJaggedTensor` comes in, what a `KeyedTensor` is goes out.

torchrec is never imported: whatever has the methods will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

from torch import Tensor

from pocketrec.embedding.arguments import as_ids
from pocketrec.embedding.parts import choose_features
from pocketrec.errors import UsageError, nearest
from pocketrec.ops.checks import check_bags
from pocketrec.sharing import Table


class KeyedJagged(Protocol):
    """What a batch must have: the bags of K keys and B samples, key after key, as `torchrec.KeyedJaggedTensor`."""

    def keys(self) -> list[str]: ...
    def values(self) -> Tensor: ...
    def offsets(self) -> Tensor: ...
    def weights_or_none(self) -> Tensor | None: ...


@dataclass(frozen=True, eq=False)
class KeyedTensor:
    """The pooled rows of each feature, by name: the methods are those of `torchrec.KeyedTensor`."""

    _keys: tuple[str, ...]
    _length_per_key: tuple[int, ...]
    _values: Tensor

    def keys(self) -> list[str]:
        """Names of the features, in the collection's order."""
        return list(self._keys)

    def values(self) -> Tensor:
        """(B, sum of D), the features side by side."""
        return self._values

    def length_per_key(self) -> list[int]:
        """D of each feature."""
        return list(self._length_per_key)

    def offset_per_key(self) -> list[int]:
        """The first column of each feature and, last, the number of columns."""
        return list(accumulate(self._length_per_key, initial=0))

    def to_dict(self) -> dict[str, Tensor]:
        """Feature -> (B, D), views of `values()`."""
        return dict(zip(self._keys, self._values.split(self.length_per_key(), dim=1), strict=True))

    def __getitem__(self, key: str) -> Tensor:
        """(B, D) of one feature. Raises KeyError."""
        return self.to_dict()[key]


@dataclass(frozen=True)
class TableConfig:
    """A table in TorchRec's words: what its models read of an `EmbeddingBagConfig`."""

    name: str
    num_embeddings: int | None
    embedding_dim: int
    feature_names: list[str]


def is_keyed(batch: Any) -> bool:
    """Whether `batch` has the methods of a `KeyedJaggedTensor`."""
    methods = ("keys", "values", "offsets", "weights_or_none")
    return all(callable(getattr(batch, name, None)) for name in methods)


def bags_of(batch: KeyedJagged, tables: Sequence[Table]) -> tuple[Tensor, Tensor, Tensor | None]:
    """The ids, F*B+1 offsets and weights of the tables' features, in their order; other keys are left out.

    Feature "f@t" of table "t" reads key "f": so TorchRec names a key that looks into several tables.

    Raises:
        UsageError: a feature whose key is not there, bags that do not fit the keys, a stride that varies.
    """
    _refuse_strides(batch)
    keys = tuple(batch.keys())
    wanted = tuple(_key_of(feature, table, keys) for table in tables for feature in table.features)
    values, offsets, weights = batch.values(), as_ids("offsets", batch.offsets()), batch.weights_or_none()
    if keys != wanted:
        check_bags(values, offsets, weights, len(keys))
        chosen = [keys.index(key) for key in wanted]
        values, own_offsets, weights = choose_features(chosen, len(keys), values, offsets, weights)
        offsets = offsets if own_offsets is None else own_offsets
    return as_ids("values", values), offsets, weights


def _key_of(feature: str, table: Table, keys: Sequence[str]) -> str:
    for key in (feature, feature.removesuffix(f"@{table.name}")):
        if key in keys:
            return key
    raise UsageError(f"the batch has no key {feature!r}, a feature of table {table.name!r}: {nearest(feature, keys)}")


def _refuse_strides(batch: Any) -> None:
    varies = getattr(batch, "variable_stride_per_key", None)
    inverse = getattr(batch, "inverse_indices_or_none", None)
    if (varies is not None and varies()) or (inverse is not None and inverse() is not None):
        told = "the batch has a batch size of its own for each key, or inverse indices"
        raise UsageError(f"{told}: expand it to one bag for each key and sample")
