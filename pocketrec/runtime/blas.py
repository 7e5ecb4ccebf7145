"""How many threads NumPy's matrix products take."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np

_SETTERS = ("scipy_openblas_set_num_threads64_", "scipy_openblas_set_num_threads", "openblas_set_num_threads")


def set_threads(threads: int) -> bool:
    """Tell the OpenBLAS that NumPy's wheels bring, for this process; False where NumPy has another library.

    Unless told, it takes all processors, and its threads wait for each other by spinning: on a machine with other work
    a product of a millisecond was seen to take a hundred.
    """
    folder = Path(np.__file__).parent
    for path in sorted([*folder.parent.glob("numpy.libs/*openblas*"), *folder.glob(".dylibs/*openblas*")]):
        try:
            library = ctypes.CDLL(str(path))
        except OSError:
            continue
        for name in _SETTERS:
            if hasattr(library, name):
                getattr(library, name)(ctypes.c_int(threads))
                return True
    return False
