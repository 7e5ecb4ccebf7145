"""The op contract (floor 2): layout, checks, reference, registration. Kernels a floor below, schemes above."""

from pocketrec.ops.checked import checked_ids, features_of_ids
from pocketrec.ops.deferred import Batch, Waiting, lookup_deferred
from pocketrec.ops.layout import FeatureLayout, Mode, Rule, Sign
from pocketrec.ops.lookup import lookup
from pocketrec.ops.quantize import pack, quantize, quantized_bytes, shadow, unpack
from pocketrec.ops.row_sparse import lookup_row_sparse
from pocketrec.ops.update import Constants, Update, new_scratch, step_

__all__ = [
    "Batch",
    "Constants",
    "FeatureLayout",
    "Mode",
    "Rule",
    "Sign",
    "Update",
    "Waiting",
    "checked_ids",
    "features_of_ids",
    "lookup",
    "lookup_deferred",
    "lookup_row_sparse",
    "new_scratch",
    "pack",
    "quantize",
    "quantized_bytes",
    "shadow",
    "step_",
    "unpack",
]
