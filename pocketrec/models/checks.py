"""What every ranker checks of its arguments. Letters: B batch, F features, D width, n dense columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from pocketrec.errors import UsageError, real_number, whole_number


def shape_of(embeddings: nn.Module, name: str = "embeddings") -> tuple[int, int]:
    """(F, D) of `embeddings`. Raises UsageError, naming it, without these attributes."""
    shape = tuple(getattr(embeddings, attribute, None) for attribute in ("num_features", "embedding_dim"))
    for attribute, value in zip(("num_features", "embedding_dim"), shape, strict=True):
        if not isinstance(value, int) or value < 1:
            told = f"{name}: needs an integer attribute {attribute} of at least 1, got {value!r}"
            raise UsageError(told + (": give all tables one width" if attribute == "embedding_dim" else ""))
    return shape  # type: ignore[return-value]


def check_num_dense(num_dense: int) -> None:
    """Raises UsageError for anything but a whole number of at least 0."""
    whole_number("num_dense", num_dense, at_least=0)


def check_widths(name: str, widths: Sequence[int]) -> None:
    """Raises UsageError for anything but whole numbers of at least 1."""
    if not isinstance(widths, Sequence) or isinstance(widths, str):
        raise UsageError(f"{name}: must be a list of widths, got {widths!r}")
    for width in widths:
        whole_number(f"{name}: every width", width, at_least=1)


def check_dropout(dropout: float) -> None:
    """Raises UsageError for a probability outside [0, 1)."""
    real_number("dropout", dropout, "[0, 1)")


def check_dense(dense: Tensor, num_dense: int) -> None:
    """Raises UsageError for any shape but (B, num_dense), and for integers."""
    if dense.dim() != 2 or dense.shape[1] != num_dense:
        raise UsageError(f"dense: must have the shape (B, {num_dense}), got {tuple(dense.shape)}")
    if not dense.is_floating_point():
        raise UsageError(f"dense: must be floating-point, got {dense.dtype}: convert with .float()")


def rows_of(embeddings: nn.Module, ids: Any) -> Tensor:
    """(B, F, D): what `embeddings(ids)` gives, be it side by side in a `KeyedTensor`."""
    rows = embeddings(ids)
    if isinstance(rows, Tensor):
        return rows
    num_features, embedding_dim = shape_of(embeddings)
    values: Tensor = rows.values()
    return values.view(-1, num_features, embedding_dim)
