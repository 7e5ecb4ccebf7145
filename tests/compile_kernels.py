"""Compile every Triton kernel for Hopper, which needs no card; run by test_kernels_gpu in a process of its own.

The interpreter accepts what the compiler refuses (a loop variable that changes its type, say), and cannot show whether
accesses are 16 bytes wide. Prints a line a kernel; exits non-zero at the first that fails.
"""

from __future__ import annotations

from typing import Any

import triton.language as tl
from triton import compile as compile_kernel
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from pocketrec.kernels.cuda import backward, checks, fixed_point, forward, per_id, update

TILE = {"ROWS": 4, "BLOCK": 128, "ACC": tl.float32}
FLAT = {"ACC": tl.float32, "BLOCK": 1024}
INT64 = ("indices_ptr", "offsets_ptr", "layout_ptr", "sums_ptr", "largest_ptr")
OTHERS = {"constants_ptr": "*fp64", "good_ptr": "*i32"}
DOUBLES = ("rate", "weight_decay", "epsilon", "beta1", "beta2", "correction1", "correction2")
KERNELS: list[tuple[Any, dict[str, Any]]] = [
    (forward._lookup_forward_kernel, TILE | {"BAGS": False, "WEIGHTED": False, "SCALED": False}),
    (forward._lookup_forward_kernel, TILE | {"BAGS": True, "WEIGHTED": True, "SCALED": False}),
    (forward._lookup_forward_kernel, TILE | {"BAGS": 3, "WEIGHTED": False, "SCALED": False}),
    (backward._largest_kernel, TILE | {"BAGS": True, "WEIGHTED": True}),
    (backward._lookup_backward_kernel, TILE | {"BAGS": False, "WEIGHTED": False}),
    (backward._lookup_backward_kernel, TILE | {"BAGS": True, "WEIGHTED": True}),
    (backward._lookup_backward_kernel, TILE | {"BAGS": 3, "WEIGHTED": True}),
    (per_id._lookup_backward_weights_kernel, TILE | {"BAGS": True}),
    (per_id._lookup_backward_rows_kernel, TILE | {"BAGS": True, "WEIGHTED": True}),
    (fixed_point._from_quanta_kernel, FLAT),
    (update._update_kernel, FLAT | {"OPTIMIZER": 2, "FROM_TENSOR": False}),
    (update._update_kernel, FLAT | {"OPTIMIZER": 1, "FROM_TENSOR": True}),
    (checks._check_kernel, {"ROWS": 4, "BAGS": True, "WEIGHTED": True}),
    (checks._check_kernel, {"ROWS": 4, "BAGS": 3, "WEIGHTED": True}),
]


def ptx_of(kernel: Any, constants: dict[str, Any]) -> str:
    """The PTX of a kernel over float32, with the alignment that a launch on 16-byte pointers would see."""
    signature, aligned = {}, {}
    for place, name in enumerate(kernel.arg_names):
        if name in constants:
            signature[name] = "constexpr"
        elif name.endswith("_ptr"):
            signature[name] = "*i64" if name in INT64 else OTHERS.get(name, "*fp32")
        else:
            signature[name] = "fp64" if name in DOUBLES else "i32"
        if name.endswith("_ptr") or name in ("width", "num_slots"):
            aligned[(place,)] = [["tt.divisibility", 16]]
    places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=places, attrs=aligned)
    return compile_kernel(source, target=GPUTarget("cuda", 90, 32)).asm["ptx"]


if __name__ == "__main__":
    for kernel, constants in KERNELS:
        ptx = ptx_of(kernel, constants)
        lines = [line for line in ptx.splitlines() if ".global" in line]
        wide = sum(".v4." in line or ".v2.b64" in line for line in lines)
        print(kernel.__name__, constants.get("BAGS"), f"{len(lines)} accesses, {wide} of 16 bytes", flush=True)
