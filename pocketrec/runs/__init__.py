"""Runs (floor 7): one configuration trained on one click log, as a folder."""

from pocketrec.runs.config import RunConfig
from pocketrec.runs.defaults import defaults_for
from pocketrec.runs.encode import encode_run
from pocketrec.runs.folder import read_config, read_metrics
from pocketrec.runs.run import TrainedRun, evaluate_run, open_run, train_run

__all__ = [
    "RunConfig",
    "TrainedRun",
    "defaults_for",
    "encode_run",
    "evaluate_run",
    "open_run",
    "read_config",
    "read_metrics",
    "train_run",
]
