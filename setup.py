"""Builds the C++ kernel, once for any processor and on x86 once for AVX2, and the lookup of the runtime without torch.

Everything else is in pyproject.toml.
"""

import os
import platform
import shutil
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# Python's own flags bring -fwrapv, which costs the lookup a tenth of its speed (the kernel has no signed overflow), and
# -g, which makes libraries seven times as large. Without contracted multiply-adds all builds give the same bits.
OPTIMISE = ["-O3", "-fno-wrapv", "-fno-math-errno", "-ffp-contract=off", "-g0"]
# The same sources again, loaded where torch takes its own AVX2 paths (pocketrec/kernels): faster, and the same bits.
AVX2 = ["-mavx2", "-mf16c", "-DCPU_CAPABILITY_AVX2", "-DPOCKETREC_OPS=pocketrec_cpu_avx2"]
# `make sanitize` builds the kernel with these.
SANITIZE = os.environ.get("POCKETREC_SANITIZE", "").split()


def extensions() -> tuple[list, type]:
    """The kernel, or nothing (and one sentence saying what that costs) where it cannot be built."""
    if shutil.which("c++") is None and shutil.which("g++") is None and shutil.which("clang++") is None:
        print(
            "pocketrec: no C++ compiler found, so lookups will use the slower PyTorch reference; nothing else changes."
        )
        return [], build_ext
    from torch.utils.cpp_extension import BuildExtension, CppExtension

    kernels = [_kernel(CppExtension, "pocketrec._C", "pocketrec/kernels/cpu", [])]
    if platform.machine().lower() in ("x86_64", "amd64"):
        kernels.append(_kernel(CppExtension, "pocketrec._C_avx2", "pocketrec/kernels/cpu/avx2", AVX2))
    return [*kernels, _native()], BuildExtension.with_options(use_ninja=False)


def _kernel(extension: type, name: str, folder: str, flags: list[str]) -> object:
    # Each has source files of its own: objects are named after them, and two builds would share, and mix, one set.
    kernel = extension(
        name,
        [f"{folder}/lookup.cpp", f"{folder}/backward.cpp"],
        extra_compile_args=[*OPTIMISE, *flags, "-std=c++17", "-DTORCH_TARGET_VERSION=0x020b000000000000", *SANITIZE],
        extra_link_args=SANITIZE,
        depends=[str(header) for header in Path("pocketrec/kernels/cpu").glob("*.*")],
        py_limited_api=True,
    )
    kernel.optional = True
    return kernel


def _native() -> Extension:
    """A plain library, loaded through ctypes (pocketrec/runtime/native_library.py); packaging/runtime builds it too."""
    return Extension(
        "pocketrec.runtime._native",
        ["pocketrec/runtime/native.cpp"],
        extra_compile_args=[*OPTIMISE, "-std=c++17", "-fvisibility=hidden", *SANITIZE],
        extra_link_args=SANITIZE,
        depends=[str(header) for header in Path("pocketrec/kernels/cpu").glob("*.h")],
        py_limited_api=True,
        optional=True,
    )


modules, builder = extensions()
setup(
    ext_modules=modules,
    cmdclass={"build_ext": builder},
    options={"bdist_wheel": {"py_limited_api": "cp310"}, "build_ext": {"parallel": os.cpu_count()}},
)
