"""Compress a model that exists (floor 5): swap its embeddings for shared memories, and say what that saved."""

from pocketrec.compress.fit import fit_
from pocketrec.compress.report import memory_report
from pocketrec.compress.swap import compress_

__all__ = ["compress_", "fit_", "memory_report"]
