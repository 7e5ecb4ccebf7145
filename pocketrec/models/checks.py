"""What every ranker checks of its arguments. Letters: B batch, F features, D width, n dense columns."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from pocketrec.errors import UsageError


def shape_of(embeddings: nn.Module, name: str = "embeddings") -> tuple[int, int]:
    """(F, D) of `embeddings`. Raises UsageError, naming it, without these attributes."""
    shape = tuple(getattr(embeddings, attribute, None) for attribute in ("num_features", "embedding_dim"))
    for attribute, value in zip(("num_features", "embedding_dim"), shape, strict=True):
        if not isinstance(value, int) or value < 1:
            raise UsageError(f"{name}: needs an integer attribute {attribute} of at least 1, got {value!r}")
    return shape  # type: ignore[return-value]


def check_num_dense(num_dense: int) -> None:
    """Raises UsageError for a number below 0."""
    if num_dense < 0:
        raise UsageError(f"num_dense: must be 0 or more, got {num_dense}")


def check_widths(name: str, widths: Sequence[int]) -> None:
    """Raises UsageError for a width below 1."""
    if any(width < 1 for width in widths):
        raise UsageError(f"{name}: every width must be at least 1, got {tuple(widths)}")


def check_dropout(dropout: float) -> None:
    """Raises UsageError for a probability outside [0, 1)."""
    if not 0 <= dropout < 1:
        raise UsageError(f"dropout: must be at least 0 and below 1, got {dropout}")


def check_dense(dense: Tensor, num_dense: int) -> None:
    """Raises UsageError for any shape but (B, num_dense)."""
    if dense.dim() != 2 or dense.shape[1] != num_dense:
        raise UsageError(f"dense: must have the shape (B, {num_dense}), got {tuple(dense.shape)}")
