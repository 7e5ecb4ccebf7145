"""The report's figures: each module says what one shows and draws it."""

from __future__ import annotations

from pocketrec.report.evidence import Evidence
from pocketrec.report.figures import cost, curves, features, quality
from pocketrec.report.figures.canvas import Picture as Picture, save as save


def pictures(evidence: Evidence) -> list[Picture]:
    """In the order of the page; one that cannot be drawn says why."""
    return [
        quality.picture(evidence),
        cost.step_speed_up(evidence),
        cost.iterations(evidence),
        cost.total_time(evidence),
        curves.picture(evidence),
        features.picture(evidence),
    ]
