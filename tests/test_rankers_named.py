"""Rankers by their words, in the sizes they were published with."""

from __future__ import annotations

import pytest
from rankers import Tables
from torch import nn

from pocketrec.models import (
    DLRM,
    MODELS,
    AutoInt,
    DCNv2,
    DeepFM,
    DLRMDCNv2,
    FiBiNET,
    XDeepFM,
    ranker_named,
    sizes_named,
)


def test_words_of_the_rankers() -> None:
    words = ["dlrm", "dlrm-dcnv2", "deepfm", "dcn-v2", "xdeepfm", "autoint", "fibinet"]
    assert list(MODELS) == words
    classes = [DLRM, DLRMDCNv2, DeepFM, DCNv2, XDeepFM, AutoInt, FiBiNET]
    assert [type(ranker_named(word, Tables(26, 16))) for word in words] == classes


def widths(net: nn.Module) -> list[int]:
    linears = [layer for layer in net.modules() if isinstance(layer, nn.Linear)]
    return [linears[0].in_features, *(layer.out_features for layer in linears)]


FLAT = 26 * 16 + 13


@pytest.mark.parametrize(
    ("word", "preset", "part", "expected"),
    [
        ("dlrm", "kaggle", "bottom", [13, 512, 256, 64, 16]),
        ("dlrm-dcnv2", "kaggle", "top", [27 * 16, 512, 256, 1]),
        ("dlrm-dcnv2", "kaggle", "cross", [27 * 16] + 3 * [64, 27 * 16]),
        ("dlrm-dcnv2", "terabyte", "bottom", [13, 512, 256, 128]),
        ("dlrm-dcnv2", "terabyte", "top", [27 * 128, 1024, 1024, 512, 256, 1]),
        ("dlrm-dcnv2", "terabyte", "cross", [27 * 128] + 3 * [512, 27 * 128]),
        ("deepfm", "kaggle", "deep", [FLAT, 400, 400, 400, 1]),
        ("dcn-v2", "kaggle", "deep", [FLAT, 1024, 1024, 1024, 1024]),
        ("dcn-v2", "kaggle", "cross", [FLAT, FLAT]),
        ("xdeepfm", "kaggle", "deep", [FLAT, 400, 400, 400, 1]),
        ("xdeepfm", "kaggle", "cin", [26 * 26, 200, 200, 200]),
        ("autoint", "kaggle", "deep", [FLAT, 400, 400, 400]),
        ("autoint", "kaggle", "attention", [16] + 12 * [64]),
        ("fibinet", "kaggle", "deep", [26 * 25 * 16 + 13, 400, 400, 400, 1]),
        ("fibinet", "kaggle", "senet", [26, 8, 26]),
    ],
)
def test_presets_have_the_published_layers(word: str, preset: str, part: str, expected: list[int]) -> None:
    model = ranker_named(word, Tables(26, sizes_named(word, preset).embedding_dim), preset=preset)
    assert widths(getattr(model, part)) == expected


def test_senet_keeps_at_least_one_unit() -> None:
    assert widths(FiBiNET(Tables(3, 4), reduction=9).senet) == [3, 1, 3]


def test_dropout_of_the_presets() -> None:
    def dropout(word: str) -> set[float]:
        return {m.p for m in ranker_named(word, Tables(2, 4)).modules() if isinstance(m, nn.Dropout)}

    assert [dropout(word) for word in ("deepfm", "xdeepfm", "fibinet")] == [{0.5}] * 3
    assert [dropout(word) for word in ("dlrm", "dlrm-dcnv2", "dcn-v2", "autoint")] == [set()] * 4


@pytest.mark.parametrize("word", ["deepfm", "dcn-v2", "xdeepfm", "autoint", "fibinet"])
def test_linear_weights_reach_a_ranker_by_name(word: str) -> None:
    model = ranker_named(word, Tables(3, 4), 1, first_order=(linear := Tables(3, 1)))
    assert model.first_order.ids is linear
