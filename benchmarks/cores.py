"""How far apart the processors are: the time a cache line takes from one thread to another.

In a virtual machine the host moves them. Next to each other, they share a cache; on two chips, they have one each and
two ways to the memory. A copy is then faster, and whatever both threads read and write is slower, by a third or more.
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

_ROUND_TRIPS = 1000
_SOURCE = """
#include <omp.h>
static volatile long turn;
double one_way_ns(long trips) {
  double seconds = 0;
  turn = 0;
  #pragma omp parallel num_threads(2)
  {
    const long me = omp_get_thread_num();
    double began = 0;
    for (long i = 0; omp_get_num_threads() == 2 && i < trips + 100; ++i) {
      if (i == 100) began = omp_get_wtime();
      while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != 2 * i + me) {}
      __atomic_store_n(&turn, 2 * i + me + 1, __ATOMIC_RELEASE);
    }
    if (me == 0 && omp_get_num_threads() == 2) seconds = omp_get_wtime() - began;
  }
  return seconds * 1e9 / (2 * trips);
}
"""


def nanoseconds_apart() -> float | None:
    """One way, measured now on torch's own threads; None without a C compiler."""
    function = _compiled()
    return None if function is None else float(function(_ROUND_TRIPS)) or None


@cache
def _compiled() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "cores.c"), Path(folder, "cores.so")
        source.write_text(_SOURCE)
        try:
            subprocess.run(["cc", "-O2", "-fopenmp", "-shared", "-fPIC", source, "-o", library], check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        function = ctypes.CDLL(str(library)).one_way_ns
    function.restype, function.argtypes = ctypes.c_double, [ctypes.c_long]
    return function
