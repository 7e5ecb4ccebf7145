"""Rankers: they take any embeddings, and never know the sharing scheme behind them. Floor 5."""

from .autoint import AutoInt as AutoInt
from .dcn_v2 import DCNv2 as DCNv2
from .deepfm import DeepFM as DeepFM
from .dlrm import DLRM as DLRM, PRESETS as PRESETS, Preset as Preset
from .dlrm_dcnv2 import DLRMDCNv2 as DLRMDCNv2
from .fibinet import FiBiNET as FiBiNET
from .names import (
    MODELS as MODELS,
    Ranker as Ranker,
    Sizes as Sizes,
    ranker_named as ranker_named,
    sizes_named as sizes_named,
)
from .xdeepfm import XDeepFM as XDeepFM
