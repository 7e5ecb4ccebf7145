"""Compress a model that exists (floor 5): swap its embeddings for shared memories, and say what that saved."""

from pocketrec.compress.encode import encode
from pocketrec.compress.fit import FitConfig, fit_
from pocketrec.compress.report import memory_report
from pocketrec.compress.sensitivity import sensitivity
from pocketrec.compress.swap import compress_

__all__ = ["FitConfig", "compress_", "encode", "fit_", "memory_report", "sensitivity"]
