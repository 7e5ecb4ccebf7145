"""Rankers: they take any embeddings, and never know the sharing scheme behind them. Floor 5."""

from .dlrm import DLRM as DLRM, PRESETS as PRESETS, Preset as Preset
