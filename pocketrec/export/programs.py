"""A run folder -> one .onnx file, or one .pt2 program: for those who bring their own runtime."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pocketrec.data import ClickLog
from pocketrec.export.about import inputs_of
from pocketrec.export.examples import score_rows
from pocketrec.export.onnx_file import export_onnx
from pocketrec.export.out import check_out
from pocketrec.export.pt2 import export_pt2
from pocketrec.export.quality import measure
from pocketrec.export.quantise import dtype_of, in_dtype
from pocketrec.export.tracing import served_copy
from pocketrec.runs import open_run

INPUTS = "pocketrec.inputs"
"""Key of the metadata that says, in JSON, what the recipe of an artifact says of `inputs`, and the policy of `ids`."""
WRITERS: dict[str, Any] = {"onnx": export_onnx, "pt2": export_pt2, "aoti": partial(export_pt2, compiled=True)}


def export_program(
    run_folder: str | os.PathLike[str],
    log: ClickLog,
    out: str | os.PathLike[str],
    format: str,
    dtype: str | None = None,
) -> dict[str, Any]:
    """Write a run's model in a format of `WRITERS`, from raw values to a probability, once it agrees with PyTorch.

    Returns its `bytes` and `metrics`, as a recipe has them. Arguments and errors are those of `export_run`.
    """
    check_out(out)
    run = open_run(run_folder, log)
    dtype = dtype_of(run, dtype)
    served = in_dtype(run, dtype)
    rows = score_rows(served, log)
    example = [torch.from_numpy(rows.dense).float(), torch.from_numpy(rows.ids)]
    columns = served.shape.columns(log.manifest)
    metrics = measure(run, replace(served, model=served_copy(served.model)), log, dtype)
    told = inputs_of(served, log.manifest) | {"ids": served.config.ids}
    texts = {INPUTS: json.dumps(told)}
    difference = WRITERS[format](served.model, example, out, ids=served.ids, columns=columns, metadata=texts)
    parity = {"rows": len(rows.ids), "split": rows.split, "largest_difference": difference}
    return {"bytes": Path(out).stat().st_size, "metrics": metrics | {"parity": parity}}
