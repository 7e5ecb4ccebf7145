"""A .pt2 file: the model as a program of PyTorch's, which loads without pocketrec."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from pocketrec.data.ids import Ids
from pocketrec.errors import UsageError
from pocketrec.export import parity
from pocketrec.export.bags import PaddedBags
from pocketrec.export.dialects import Torch
from pocketrec.export.out import check_out
from pocketrec.export.tracing import Source, called, traced, whole
from pocketrec.files import atomic_path


def export_pt2(
    model: nn.Module,
    example: Sequence[Tensor | PaddedBags],
    out: str | os.PathLike[str],
    *,
    ids: Ids | None = None,
    columns: Sequence[int] | None = None,
    metadata: Mapping[str, str] | None = None,
    compiled: bool = False,
) -> float:
    """Write a model as a .pt2 file, and return how far it is from PyTorch on the example rows.

    An `ExportedProgram`: operators of PyTorch's own, for every machine, loaded by `torch.export.load(file).module()`.
    Compiled, it is an AOTInductor package: machine code for processors like this one, without Python on the way,
    loaded by `torch._inductor.aoti_load_package(file)`. The first is what `--format pt2` writes, since it takes no
    compiler, works everywhere, and compiles to the second whenever wanted. Half precisions are stored as float32 in
    both; integers as they are.

    Args:
        model, example, out, ids, columns: as `export_onnx`.
        metadata: texts that the file carries, by key: `torch.export.load` gives them as its `extra_files`, a compiled
            package as `get_metadata()`.
        compiled: make an AOTInductor package; takes a C++ compiler, and some 30 seconds.

    Raises:
        ExportError: it differs from PyTorch by more than 1e-5; nothing is written then.
        UsageError: a model that cannot be traced; a folder where the file should go; no compiler.
    """
    check_out(out)
    if ids is None:
        source = called(model, example)
    else:
        dense, raw_ids = example
        assert isinstance(dense, Tensor)
        assert isinstance(raw_ids, Tensor)
        source = whole(model, ids, columns or range(raw_ids.shape[1]), dense, raw_ids, Torch())
    program = _portable(traced(source, Torch()))
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own making
        file = Path(folder) / "model.pt2"
        if compiled:
            _compile(program, file, metadata or {})
            run: Any = torch._inductor.aoti_load_package(str(file))
        else:
            torch.export.save(program, file, extra_files=dict(metadata or {}))
            run = torch.export.load(file).module()
        apart = _check(run, source)
        del run
        with atomic_path(out) as temporary:
            shutil.copyfile(file, temporary)
    return apart


def _portable(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """Without what only this machine knows: source files and their lines."""
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
        if "pocketrec" in str(node.target):
            raise UsageError(f"model: {node.target} is an operator of pocketrec's own, which a .pt2 must not need")
    return program


def _compile(program: torch.export.ExportedProgram, file: Path, metadata: Mapping[str, str]) -> None:
    configs = {"aot_inductor.metadata": dict(metadata)}
    try:
        torch._inductor.aoti_compile_and_package(program, package_path=str(file), inductor_configs=configs)
    except Exception as error:
        if "InvalidCxxCompiler" not in type(error).__name__ + str(error):
            raise
        raise UsageError("compiled: AOTInductor needs a C++ compiler: install g++, or leave compiled False") from error


def _check(run: Any, source: Source) -> float:
    with torch.no_grad():
        got = run(*source.inputs)
    return parity.compare(got.numpy(), source.expected, "the exported program")
