"""A run folder -> one .onnx file, or one .pt2 program: for those who bring their own runtime."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pocketrec.data import ClickLog
from pocketrec.export.examples import score_rows
from pocketrec.export.onnx_file import export_onnx
from pocketrec.export.out import writable
from pocketrec.export.pt2 import export_pt2
from pocketrec.export.quantise import dtype_of, in_dtype
from pocketrec.runs import open_run

WRITERS: dict[str, Any] = {"onnx": export_onnx, "pt2": export_pt2, "aoti": partial(export_pt2, compiled=True)}


def export_program(
    run_folder: str | os.PathLike[str],
    log: ClickLog,
    out: str | os.PathLike[str],
    format: str,
    dtype: str | None = None,
) -> dict[str, Any]:
    """Write a run's model in a format of `WRITERS`, from raw values to a probability, once it agrees with PyTorch.

    Returns its `bytes` and `parity`. Arguments and errors are those of `export_run`.
    """
    writable(out)
    run = open_run(run_folder, log)
    served = in_dtype(run, dtype_of(run, dtype))
    rows = score_rows(served, log)
    example = [torch.from_numpy(rows.dense).float(), torch.from_numpy(rows.ids)]
    columns = served.shape.columns(log.manifest)
    difference = WRITERS[format](served.model, example, out, ids=served.ids, columns=columns)
    told = {"rows": len(rows.ids), "split": rows.split, "largest_difference": difference}
    return {"bytes": Path(out).stat().st_size, "parity": told}
