"""The words by which the command line and reports know the rankers, and their published sizes: one list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from torch import nn

from pocketrec.errors import UsageError, nearest, one_of

from .autoint import AutoInt
from .dcn_v2 import DCNv2
from .deepfm import DeepFM
from .dlrm import DLRM, PRESETS
from .dlrm_dcnv2 import DLRMDCNv2
from .fibinet import FiBiNET
from .xdeepfm import XDeepFM


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """One setting of a ranker."""

    embedding_dim: int
    """The published D. A model follows the D of the embeddings it is given."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What the ranker is built with where it differs from its defaults."""


@dataclass(frozen=True, kw_only=True)
class Ranker:
    """A ranker and its presets."""

    build: Callable[..., nn.Module]
    """Called with embeddings, num_dense and the options of a preset."""
    presets: Mapping[str, Sizes]
    first_order: bool = True
    """Whether it takes linear weights of ids, as `first_order`."""


def _dlrm(name: str) -> Sizes:
    preset = PRESETS[name]
    return Sizes(embedding_dim=preset.embedding_dim, options={"bottom": preset.bottom, "top": preset.top})


ROBE_KAGGLE = {"kaggle": Sizes(embedding_dim=16)}
"""The rankers' defaults are what the ROBE paper (arXiv 2108.02191; its code, apd10/criteo_deepctr) evaluates there."""

MODELS: Mapping[str, Ranker] = MappingProxyType(
    {
        "dlrm": Ranker(build=DLRM, presets={name: _dlrm(name) for name in PRESETS}, first_order=False),
        "dlrm-dcnv2": Ranker(
            build=DLRMDCNv2,
            presets={
                # We know of none published for Kaggle: DLRM's MLPs there, and MLPerf's rank in proportion to the width.
                "kaggle": Sizes(embedding_dim=16, options={**_dlrm("kaggle").options, "rank": 64}),
                "terabyte": Sizes(embedding_dim=128),
            },
            first_order=False,
        ),
        "deepfm": Ranker(build=DeepFM, presets=ROBE_KAGGLE),
        "dcn-v2": Ranker(build=DCNv2, presets=ROBE_KAGGLE),
        "xdeepfm": Ranker(build=XDeepFM, presets=ROBE_KAGGLE),
        "autoint": Ranker(build=AutoInt, presets=ROBE_KAGGLE),
        "fibinet": Ranker(build=FiBiNET, presets=ROBE_KAGGLE),
    }
)


def sizes_named(model: str, preset: str) -> Sizes:
    """What the ranker called `model` was published with.

    Raises:
        UsageError: no ranker of that name, or no such preset of it; says the nearest.
    """
    presets = MODELS[one_of("model", model, MODELS)].presets
    if preset not in presets:
        raise UsageError(f"preset: {model} has none called {preset!r}: {nearest(preset, presets)}")
    return presets[preset]


def ranker_named(
    model: str,
    embeddings: nn.Module,
    num_dense: int = 13,
    *,
    preset: str = "kaggle",
    first_order: nn.Module | None = None,
) -> nn.Module:
    """The ranker called `model` in the sizes of `preset`, over `embeddings` of any width.

    `first_order` are linear weights of ids: embeddings of the same features with D = 1.

    Raises:
        UsageError: an unknown name, or linear weights for a ranker that has no linear term.
    """
    options = dict(sizes_named(model, preset).options)
    if first_order is not None:
        if not MODELS[model].first_order:
            raise UsageError(f"first_order: {model} has no linear term: leave it None")
        options["first_order"] = first_order
    return MODELS[model].build(embeddings, num_dense, **options)
