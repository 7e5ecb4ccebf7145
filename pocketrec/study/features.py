"""What each feature is worth to a trained model: the AUC lost when its ids are shuffled among the rows."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from pocketrec.data import ClickLog
    from pocketrec.runs import TrainedRun

ROWS = 50_000
"""Validation rows used at most, drawn alike for every model: an AUC to about 0.003, the paired differences to less."""


def importances(run: TrainedRun, log: ClickLog) -> dict[str, float]:
    """Permutation importance on the validation split, by feature (Breiman 2001). May be below 0 by chance.

    The rows and each feature's permutation are the same for every model of the log, so that differences between models
    are paired.
    """
    import torch

    batches = log.batches("validation", run.ids, ROWS, features=run.shape.columns(log.manifest), shuffle=True, seed=0)
    dense, ids, labels = next(iter(batches))
    whole = _auc(run, dense, ids, labels)
    lost = {}
    for position, name in enumerate(run.shape.features):
        generator = torch.Generator().manual_seed(log.manifest.feature_names.index(name))
        shuffled = ids.clone()
        shuffled[:, position] = ids[torch.randperm(len(ids), generator=generator), position]
        lost[name] = whole - _auc(run, dense, shuffled, labels)
    return lost


def feature_rows(own: Mapping[str, float], full: Mapping[str, float], sizes: Mapping[str, int]) -> list[dict[str, Any]]:
    """Rows of `features.csv`, but for what the run says; `full` is empty where full tables have none."""
    return [
        {
            "feature": name,
            "num_embeddings": sizes[name],
            "importance": f"{value:.6g}",
            "lost_auc": f"{full[name] - value:.6g}" if name in full else "",
        }
        for name, value in own.items()
    ]


def _auc(run: TrainedRun, dense: Tensor, ids: Tensor, labels: Tensor) -> float:
    from pocketrec.runs.run import EVALUATION_BATCH
    from pocketrec.training import evaluate

    edges = [*range(0, len(labels), EVALUATION_BATCH), len(labels)]
    return evaluate(run.model, [(dense[a:b], ids[a:b], labels[a:b]) for a, b in pairwise(edges)]).auc
