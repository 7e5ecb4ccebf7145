"""The op contract (floor 2): layout, checks, reference, registration. Kernels a floor below, schemes above."""

from pocketrec.ops.layout import FeatureLayout, Mode, Rule, Sign
from pocketrec.ops.lookup import lookup, lookup_row_sparse

__all__ = ["FeatureLayout", "Mode", "Rule", "Sign", "lookup", "lookup_row_sparse"]
