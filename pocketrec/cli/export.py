"""Export a trained run as one small file that needs no PyTorch: NAME.pocket, or an ONNX or PyTorch program.

FILE.pocket holds the weights (safetensors), a graph from raw feature values to a probability (ONNX: id map, hash and
lookup are inside) and a recipe (JSON): what the model takes, how it was made, how good it is. `pocketrec serve` and
`pocketrec score` read it, and so does any language with a zip reader: docs/format.md says how. FILE.onnx and FILE.pt2
say what they take, and in which order, in their metadata, as JSON under `pocketrec.inputs`.

The memory may be stored in fewer bytes: --dtype int8 is a quarter of fp32. Validation AUC is measured before and after
and told; FILE.pocket says both. Every export ends with a check: the graph scores real rows of the log, and what it
says lies within 1e-5 of what PyTorch says, or nothing is written.
"""

from __future__ import annotations

import argparse
from typing import Any

from pocketrec.cli.show import number, pairs, ratio, size
from pocketrec.errors import UsageError
from pocketrec.export.out import format_of

EXAMPLE = """examples:
  pocketrec export runs/robe-1000x --out robe.pocket
  pocketrec export runs/robe-1000x --out robe-int8.pocket --dtype int8
  pocketrec export runs/robe-1000x --out robe.onnx
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="RUN", help="a folder written by pocketrec train or encode")
    parser.add_argument("--out", required=True, metavar="FILE", help="the file to write; one that is there is replaced")
    parser.add_argument(
        "--data", metavar="DIR", help="the prepared log that it was trained on (default: where it was then)"
    )
    parser.add_argument(
        "--dtype",
        metavar="fp32|fp16|int8|int4",
        help="what the memory is stored in (default: what it was trained for); int8 is a quarter of fp32",
    )
    parser.add_argument(
        "--format",
        metavar="pocket|onnx|pt2|aoti",
        help="pocket: the artifact, for pocketrec serve and score; onnx: one graph with its weights inside; pt2: a "
        "program that PyTorch loads without pocketrec (torch.export); aoti: the same, compiled for processors like "
        "this one (AOTInductor; takes a C++ compiler). Default: what FILE ends in, .pocket, .onnx or .pt2; else pocket",
    )
    parser.add_argument("--name", metavar="NAME", help="of the model, told by what serves it (default: that of FILE)")


def run(args: argparse.Namespace) -> None:
    format = format_of(args.out, args.format)
    if format != "pocket" and args.name is not None:
        raise UsageError(f"--name is for --format pocket: {format} tells no name")
    from pocketrec.export.pack import export_run, log_of

    log = log_of(args.folder, args.data)
    if format == "pocket":
        print(summary(export_run(args.folder, log, args.out, args.dtype, args.name)))
        return
    from pocketrec.export.programs import export_program

    told = export_program(args.folder, log, args.out, format, args.dtype)
    made = "graph" if format == "onnx" else "program"
    checked = ("checked", _checked(told["metrics"]["parity"], made))
    print(pairs(args.out, [("file", size(told["bytes"])), *_quality(told["metrics"]), checked]))


def summary(told: dict[str, Any]) -> str:
    """What was written, how good it is, and what it stands for."""
    sizes, memory = told["sizes"], told["memory"]
    rows = [
        ("file", f"{size(told['bytes'])} ({number(told['bytes'])} bytes)"),
        ("memory", f"{size(sizes['memory_bytes'])}: {_slots(memory)}"),
        ("dense part", f"{size(sizes['dense_part_bytes'])}: the layers around the embeddings, in float32"),
        ("id map", f"{size(sizes['id_map_bytes'])}: {_IDS[told['ids']['policy']]}"),
        ("graph", size(sizes["graph_bytes"])),
        (
            "replaces",
            f"{size(sizes['full_bytes'])} of full tables: the memory is {ratio(sizes['compression'])} smaller",
        ),
        *_quality(told["metrics"]),
        ("checked", _checked(told["metrics"]["parity"], "graph")),
        ("next", f"pocketrec serve {told['path']}"),
    ]
    return pairs(told["path"], rows)


def _slots(memory: dict[str, Any]) -> str:
    return f"{number(memory['slots'])} slots in {memory['dtype']}" if memory["slots"] else "codes, and what reads them"


_IDS = {
    "raw": "none, ids are hashed as they come",
    "filtered": "a filter of the values that training saw often enough",
    "vocabulary": "a vocabulary of the values that training saw often enough",
    "ranked": "a vocabulary of the values that training saw often enough, ranked by count",
}


def _quality(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    validation = metrics.get("validation")
    if validation and validation["auc"] is not None:
        change, trained = validation["auc_change"], validation["trained_in"]
        before = f", {validation['auc_as_trained']:.5f} as trained in {trained}: {change:+.5f}"
        rows.append(("validation AUC", f"{validation['auc']:.5f}{before}"))
    test = metrics.get("test")
    if test and test["auc"] is not None:
        rows.append(("test AUC", f"{test['auc']:.5f}"))
    return rows


def _checked(parity: dict[str, Any], made: str) -> str:
    apart = f"at most {parity['largest_difference']:.1e} apart"
    return f"{number(parity['rows'])} {parity['split']} rows, {made} and PyTorch {apart}"
