"""Builds `pocketrec-runtime`: the part of the package `pocketrec` that needs no torch, from the same files."""

from __future__ import annotations

import os
import shutil
import tomllib
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

# setuptools takes paths relative to this folder only, and modern pip builds in it: no copy is made first.
SOURCE = Path("../../pocketrec")
MODULES = frozenset({"__init__", "__main__", "errors", "files", "hashing", "units"})
ROOMS = ("artifact", "runtime", "serving", "data", "cli")
LEFT_OUT = frozenset({"data/batches.py"})  # torch's
COMMANDS = frozenset({"__init__", "main", "missing", "show", "score", "serve"})  # of cli
OPTIMISE = ["-O3", "-fno-wrapv", "-fno-math-errno", "-ffp-contract=off", "-g0"]  # as in the setup.py of pocketrec


def is_ours(path: Path) -> bool:
    """Whether a file of the source tree belongs to the runtime."""
    inside = path.relative_to(SOURCE)
    if len(inside.parts) == 1:
        return inside.stem in MODULES
    room = inside.parts[0]
    return room in ROOMS and inside.as_posix() not in LEFT_OUT and (room != "cli" or inside.stem in COMMANDS)


class BuildRuntime(build_py):
    """Leaves out the modules that are not ours."""

    def run(self) -> None:
        """Build anew: a module that was deleted since the last build would stay."""
        shutil.rmtree(Path(self.build_lib, "pocketrec"), ignore_errors=True)
        super().run()

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """(package, module, file) of the modules that are."""
        return [each for each in super().find_package_modules(package, package_dir) if is_ours(Path(each[2]))]


def packages() -> list[str]:
    """`pocketrec` and the packages within it that are ours."""
    folders = {path.parent.relative_to(SOURCE.parent) for path in SOURCE.rglob("__init__.py") if is_ours(path)}
    return sorted(".".join(folder.parts) for folder in folders)


def native() -> list[Extension]:
    """The C++ lookup; nothing where there is no compiler: onnxruntime runs every model too."""
    if not any(shutil.which(compiler) for compiler in ("c++", "g++", "clang++")):
        return []
    return [
        Extension(
            "pocketrec.runtime._native",
            [str(SOURCE / "runtime/native.cpp")],
            extra_compile_args=[*OPTIMISE, "-std=c++17", "-fvisibility=hidden"],
            depends=[str(header) for header in (SOURCE / "kernels/cpu").glob("*.h")],
            py_limited_api=True,
            optional=True,
        )
    ]


whole = tomllib.loads(Path("../../pyproject.toml").read_text(encoding="utf-8"))["project"]
readers = ("polars", "tqdm")  # what `pocketrec score` reads logs with, and its progress line
setup(
    version=whole["version"],
    extras_require={
        "score": [each for each in whole["dependencies"] if each.startswith(readers)],
        "serve": whole["optional-dependencies"]["serve"],
    },
    packages=packages(),
    package_dir={"pocketrec": os.fspath(SOURCE)},
    package_data={"pocketrec": ["py.typed"], "pocketrec.serving": ["web/*", "web/vendor/*.*"]},
    exclude_package_data={"pocketrec.runtime": ["*.cpp"]},
    ext_modules=native(),
    cmdclass={"build_py": BuildRuntime, "build_ext": build_ext},
    options={"bdist_wheel": {"py_limited_api": "cp311"}, "build": {"build_base": "../../build/runtime"}},
)
