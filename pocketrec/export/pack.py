"""A run folder -> NAME.pocket: measured, checked against PyTorch on real rows, written whole or not at all."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from pocketrec.artifact import ArtifactError, offsets_of, write_artifact
from pocketrec.artifact.tensors import pieces
from pocketrec.artifact.told import Told
from pocketrec.data import ClickLog, open_log
from pocketrec.errors import DataError, UsageError
from pocketrec.export import parity
from pocketrec.export.about import about, sizes_written
from pocketrec.export.examples import examples_of, score_rows
from pocketrec.export.graph import build_graph, place
from pocketrec.export.out import check_out
from pocketrec.export.quality import measure
from pocketrec.export.quantise import dtype_of, in_dtype
from pocketrec.export.tracing import served_copy
from pocketrec.runs import open_run, read_config


def log_of(run_folder: str | os.PathLike[str], data: str | os.PathLike[str] | None = None) -> ClickLog:
    """The log that a run was trained on: in the folder given, else where it was then.

    Raises:
        DataError: it is not there any more, or another log is.
    """
    folder = Path(run_folder)
    told = read_config(folder)
    where = data or told.get("log")
    if where is None:
        raise DataError(f"{folder}: does not say where its log is, as an older pocketrec wrote it: give --data DIR")
    if data is None and not Path(where).is_dir():
        raise DataError(
            f"{folder}: was trained on the log in {where}, which is not there any more: say where it is with --data "
            "DIR, or prepare it again"
        )
    log = open_log(where)
    if log.manifest.fingerprint != told["data"]:
        raise DataError(
            f"{where}: is not the log that {folder} was trained on (fingerprint {log.manifest.fingerprint}, not "
            f"{told['data']}): give that one with --data DIR"
        )
    return log


def export_run(
    run_folder: str | os.PathLike[str],
    log: ClickLog,
    out: str | os.PathLike[str],
    dtype: str | None = None,
    name: str | None = None,
) -> dict[str, Any]:
    """Write the run's model as one artifact, and return its recipe with `path` and `bytes` beside.

    Args:
        run_folder: of a finished run.
        log: the one it was trained on, see `log_of`.
        out: a file, by convention NAME.pocket; one that is there is replaced.
        dtype: what the memory is stored in: `float32`, `float16`, `int8` or `int4`; by default what it was trained for.
            The change of the validation AUC that it costs is measured and written into the recipe.
        name: of the model; by default that of `out`.

    Raises:
        UsageError: a type that the run cannot have; a folder where the file should go.
        ExportError: the graph says other than PyTorch by more than 1e-5.
    """
    check_out(out)
    name = _checked_name(Path(out).stem if name is None else name)
    run = open_run(run_folder, log)
    dtype = dtype_of(run, dtype)
    served = in_dtype(run, dtype)
    recipe = about(served, log, name, dtype)
    exact = replace(served, model=served_copy(served.model))
    rows = score_rows(exact, log)
    built = build_graph(served.model, served.ids, served.shape.columns(log.manifest), len(served.shape.dense))
    graph = place(built.proto, offsets_of(built.tensors))
    difference = parity.check(graph, b"".join(pieces(built.tensors)), rows.probabilities, rows.dense, rows.ids)
    recipe["sizes"] |= sizes_written(built.tensors, graph)
    recipe["metrics"] = measure(run, exact, log, dtype) | {
        "parity": {"rows": len(rows.ids), "split": rows.split, "largest_difference": difference}
    }
    recipe["examples"] = examples_of(rows, served, log.manifest)
    artifact = write_artifact(out, recipe, built.tensors, graph)
    return {**artifact.recipe.told, "path": str(out), "bytes": artifact.size}


def _checked_name(name: str) -> str:
    """Before minutes are spent on what cannot be written."""
    try:
        return Told({"name": name}, "recipe.json").name("name")
    except ArtifactError:
        raise UsageError(
            f"name: a model's name is 1 to 200 printable characters, none of them / \\ or :, and no dot first, got "
            f"{name!r}: give another --name"
        ) from None
