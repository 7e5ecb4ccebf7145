"""The features a model asks for, by name, and what a value of each may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Features:
    """Dense and categorical features in the order of the model's inputs."""

    dense: tuple[str, ...]
    categorical: tuple[str, ...]
    kinds: tuple[str, ...]
    """Of each categorical feature: `hex`, `integer` or `text`."""

    @property
    def names(self) -> tuple[str, ...]:
        """All, dense first."""
        return (*self.dense, *self.categorical)


def features_of(recipe: Any) -> Features:
    """Those of an artifact's recipe."""
    categorical = recipe.inputs.categorical
    return Features(
        dense=tuple(recipe.inputs.dense),
        categorical=tuple(each.name for each in categorical),
        kinds=tuple(each.kind for each in categorical),
    )
