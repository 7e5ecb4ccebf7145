"""Under `make sanitize` the other tests must run on the sanitised kernel; elsewhere there is nothing to check here."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pocketrec import kernels


@pytest.mark.skipif("libasan" not in os.environ.get("LD_PRELOAD", ""), reason="only under `make sanitize`")
def test_the_kernel_is_the_sanitized_one():
    assert kernels.cpu() is not None
    (extension,) = (module for name, module in sys.modules.items() if name.startswith("pocketrec._C"))
    symbols = subprocess.run(["nm", "-D", extension.__file__], capture_output=True, text=True, check=True).stdout
    assert "__asan_report_load" in symbols
    assert "__ubsan_handle" in symbols
