"""`native.cpp` through ctypes: found beside this file, built by setup.py where there was a C++ compiler."""

from __future__ import annotations

import ctypes
import logging
from functools import cache
from pathlib import Path

import numpy as np

LOG = logging.getLogger("pocketrec.runtime")
NAME = "_native"
_ADDRESS, _COUNT, _FLAG = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32
_SIGNATURES = {
    "pocketrec_layout_is_sound": (_FLAG, [_ADDRESS, _COUNT, _COUNT, _COUNT]),
    "pocketrec_lookup": (_FLAG, [_ADDRESS, _ADDRESS, _ADDRESS, _COUNT, _COUNT, _ADDRESS, _COUNT, _ADDRESS]),
    "pocketrec_filter": (
        None,
        [_ADDRESS, _COUNT, _COUNT, _ADDRESS, _COUNT, _ADDRESS, _COUNT, _COUNT, _ADDRESS],
    ),
    "pocketrec_search": (None, [_ADDRESS, _FLAG, _ADDRESS, _ADDRESS, _ADDRESS, _COUNT, _COUNT, _ADDRESS]),
}


@cache
def library() -> ctypes.CDLL | None:
    """The functions of native.cpp; None where they were not built, or for another system."""
    built = sorted(Path(__file__).parent.glob(f"{NAME}*.so"))
    if not built:
        return None
    try:
        loaded = ctypes.CDLL(str(built[0]))
    except OSError as error:
        LOG.warning("%s: what was built elsewhere cannot be loaded here: the native engine is left out", error)
        return None
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


def address(array: np.ndarray | None) -> int | None:
    """Of the first element; None for no array, which C++ sees as a null pointer."""
    return None if array is None else int(array.ctypes.data)
