"""The ops made fast. Floor 1: raw arrays in, raw arrays out; arguments are checked a floor above, in `pocketrec.ops`.

Names, stated once: Python package `pocketrec`, public ops `torch.ops.pocketrec`, extension module `pocketrec._C`, the
ops it registers `torch.ops.pocketrec_cpu`, C++ `namespace pocketrec`. The same sources, compiled for newer x86
processors: `pocketrec._C_avx2` and `torch.ops.pocketrec_cpu_avx2`.
"""

from __future__ import annotations

import importlib.util
import os
import warnings
from functools import cache
from typing import Any

import torch

BUILDS = {"pocketrec._C_avx2": "pocketrec_cpu_avx2", "pocketrec._C": "pocketrec_cpu"}
"""Extension module -> the namespace of its ops; the first that suits the processor is taken."""


@cache
def cpu() -> Any | None:
    """The C++ ops for this processor, or None where the extension was not built.

    `POCKETREC_KERNELS=reference` in the environment turns them off, to compare or to debug. A built extension that
    fails to load raises: a broken install should not pass for a slow one.
    """
    if os.environ.get("POCKETREC_KERNELS") == "reference":
        return None
    extension = _extension()
    if extension is None:
        warnings.warn(
            "pocketrec was installed without its C++ kernel, so lookups use the PyTorch reference, which is many "
            "times slower. Install a C++ compiler and reinstall pocketrec to get it.",
            stacklevel=2,
        )
        return None
    importlib.import_module(extension)
    return getattr(torch.ops, BUILDS[extension])


def _extension() -> str | None:
    """The build for this processor, as torch chooses its own: `ATEN_CPU_CAPABILITY=default` asks for the oldest."""
    newer = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    names = [name for name in BUILDS if newer or "avx2" not in name]
    return next((name for name in names if importlib.util.find_spec(name)), None)


@cache
def gpu() -> Any | None:
    """The Triton kernels (the package `pocketrec.kernels.cuda`), or None, warning once, where triton is not installed.

    Imports triton: ask only when a CUDA tensor is to be looked up. `POCKETREC_KERNELS=reference` turns them off too.
    """
    if os.environ.get("POCKETREC_KERNELS") == "reference":
        return None
    if importlib.util.find_spec("triton") is None:
        warnings.warn(
            "triton is not installed, so lookups on the GPU use the PyTorch reference, which is many times slower and "
            "waits for the device. PyTorch's CUDA wheels bring it; otherwise: pip install triton.",
            stacklevel=2,
        )
        return None
    return importlib.import_module("pocketrec.kernels.cuda")
