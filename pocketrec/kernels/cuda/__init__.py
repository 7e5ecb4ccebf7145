"""The lookup and its gradients in Triton, for CUDA; same names and arguments as `pocketrec.ops.reference`.

Importing it imports triton: go through `pocketrec.kernels.gpu()`. Nothing here waits for the device, so all of it can
be captured in a CUDA graph. `TRITON_INTERPRET=1` in the environment, before triton is imported, runs the same kernels
on CPU tensors, slowly, which is how they are tested where there is no card.
"""

from pocketrec.kernels.cuda.backward import lookup_backward, new_scratch
from pocketrec.kernels.cuda.checks import check
from pocketrec.kernels.cuda.forward import lookup
from pocketrec.kernels.cuda.per_id import lookup_backward_rows, lookup_backward_weights
from pocketrec.kernels.cuda.update import lookup_update_

__all__ = [
    "check",
    "lookup",
    "lookup_backward",
    "lookup_backward_rows",
    "lookup_backward_weights",
    "lookup_update_",
    "new_scratch",
]
