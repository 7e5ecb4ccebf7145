"""What can be known before training (floor 5): bounds, variances, loads, collisions. Side by side in docs/theory.md.

NumPy and arithmetic only. Docstrings say whose each statement is: *paper* (the abstract of arXiv 2207.10731, all of it
that was at hand), *others* (with the reference), *derived* (here, tested by simulation in tests/theory).

Letters: n rows, D their width, N = n D elements of all tables, M slots, Z elements a chunk.
"""

from pocketrec.theory.approximation import (
    epsilon_reached,
    slots_for_entries,
    slots_for_inner_products,
    slots_for_norms,
    slots_for_one_entry,
)
from pocketrec.theory.collisions import collision_mass
from pocketrec.theory.iterations import largest_stable_step_ratio, readout_inflation, retuned_inflation
from pocketrec.theory.loads import LoadDistribution, expected_largest_load, load_bounds, load_distribution
from pocketrec.theory.profile import FrequencyProfile
from pocketrec.theory.recovery import expected_occupied_slots, least_squares_error, sketch_error
from pocketrec.theory.traffic import active_load, interference, own_share
from pocketrec.theory.twins import identical_share
from pocketrec.theory.variance import inner_product_bias, inner_product_variance, relative_error

__all__ = [
    "FrequencyProfile",
    "LoadDistribution",
    "active_load",
    "collision_mass",
    "epsilon_reached",
    "expected_largest_load",
    "expected_occupied_slots",
    "identical_share",
    "inner_product_bias",
    "inner_product_variance",
    "interference",
    "largest_stable_step_ratio",
    "least_squares_error",
    "load_bounds",
    "load_distribution",
    "own_share",
    "readout_inflation",
    "relative_error",
    "retuned_inflation",
    "sketch_error",
    "slots_for_entries",
    "slots_for_inner_products",
    "slots_for_norms",
    "slots_for_one_entry",
]
