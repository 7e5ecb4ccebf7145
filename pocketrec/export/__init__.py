"""Exports (floor 8): a trained model as an artifact, an ONNX graph or a PyTorch program. Loaded when asked for."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "ExportError": "parity",
    "Graph": "graph",
    "PaddedBags": "bags",
    "build_graph": "graph",
    "export_onnx": "onnx_file",
    "export_pt2": "pt2",
    "export_run": "pack",
    "place": "graph",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
