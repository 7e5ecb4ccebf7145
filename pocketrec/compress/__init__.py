"""Compress a model that exists (floor 5): swap its embeddings for shared memories, and say what that saved."""

from pocketrec.compress.fisher import sensitivity
from pocketrec.compress.fit import FitConfig, fit_
from pocketrec.compress.report import memory_report
from pocketrec.compress.swap import compress_
from pocketrec.compress.transform import encode

__all__ = ["FitConfig", "compress_", "encode", "fit_", "memory_report", "sensitivity"]
