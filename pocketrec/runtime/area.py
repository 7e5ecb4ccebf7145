"""AUC of scores that stream by: exact while they are few, binned in flat memory when they are many."""

from __future__ import annotations

import numpy as np

from pocketrec.data.planted import AucHistogram

EXACT_ROWS = 1 << 22


class Area:
    """Area under the ROC curve; ties count half."""

    def __init__(self) -> None:
        self.rows = 0
        """Added so far."""
        self._few: list[tuple[np.ndarray, np.ndarray]] = []
        self._many = AucHistogram()

    def add(self, scores: np.ndarray, labels: np.ndarray) -> None:
        """Add (n,) probabilities and their labels, 0 or 1."""
        self.rows += len(scores)
        self._few.append((scores, labels))
        if self.rows > EXACT_ROWS:
            for few in self._few:
                self._many.add(_logits(few[0]), few[1].astype(np.float64))
            self._few.clear()

    def auc(self) -> float:
        """Exact for up to `EXACT_ROWS` rows, else within 1e-5; NaN where only one label was seen."""
        if not self._few:
            return self._many.auc()
        scores, labels = (np.concatenate(each) for each in zip(*self._few, strict=True))
        place = np.unique(scores, return_inverse=True)[1]
        clicks, others = np.bincount(place, labels), np.bincount(place, 1 - labels)
        pairs = clicks.sum() * others.sum()
        below = np.cumsum(others) - others / 2
        return float((clicks * below).sum() / pairs) if pairs else float("nan")


def _logits(scores: np.ndarray) -> np.ndarray:
    wide = scores.astype(np.float64)
    with np.errstate(divide="ignore"):
        logits: np.ndarray = np.log(wide) - np.log1p(-wide)
    return logits
