"""Checkpoints of facebookresearch/dlrm's quotient-remainder bags, read into ours."""

from __future__ import annotations

import pytest
import torch

from pocketrec import from_dlrm_qr, stored_bytes

N, C, D = 1001, 7, 6


def state(width: int = D) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {"emb_l.0.weight_q": torch.randn(143, width), "emb_l.0.weight_r": torch.randn(C, width)}


@pytest.mark.parametrize("operation", ["mult", "add", "concat"])
def test_one_id_a_bag_reads_the_row_of_their_formula(operation):
    told = state()
    bag = from_dlrm_qr(told, "emb_l.0.", N, operation=operation, mode="sum")
    ids = torch.tensor([0, 1, 6, 7, 500, N - 1])
    q, r = told["emb_l.0.weight_q"][ids // C], told["emb_l.0.weight_r"][ids % C]
    expected = {"mult": q * r, "add": q + r, "concat": torch.cat([q, r], 1)}[operation]
    assert torch.equal(bag(ids[:, None]), expected)
    assert stored_bytes(bag) == 4 * (143 + C) * D


def test_it_trains_on_and_takes_the_arguments_of_bags():
    bag = from_dlrm_qr(state(), "emb_l.0.", N, mode="mean", include_last_offset=True)
    bag(torch.tensor([3, 4, 5]), torch.tensor([0, 2, 3])).sum().backward()
    assert bag.memory.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prefix": "emb_l.1."}, "holds no 'emb_l.1.weight_q'"),
        ({"num_embeddings": 5000}, r"5000 rows and 7 collisions take \(715, 6\) numbers, got \(143, 6\)"),
        ({"operation": "multiply"}, "must be one of mult, add, concat"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    told = {"prefix": "emb_l.0.", "num_embeddings": N, "operation": "mult"} | change
    with pytest.raises(ValueError, match=message):
        from_dlrm_qr(state(), **told)


def test_a_table_without_rows_is_refused():
    told = state() | {"emb_l.0.weight_r": torch.empty(0, D)}
    with pytest.raises(ValueError, match=r"weight_r: must be \(collisions, width\), got \(0, 6\)"):
        from_dlrm_qr(told, "emb_l.0.", N)
