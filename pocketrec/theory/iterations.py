"""What sharing does to gradient descent: how much smaller steps must be, and how many more it may take.

Notation: the tables are E = R m for the memory m; R has one +-1 in each row, so R'R is diagonal and holds the slots'
loads. The eigenvalues of R R' that are not zero are the loads, and |R R'| is the largest load: exactly. *Derived*.
"""

from __future__ import annotations

import math

from pocketrec.errors import whole_number
from pocketrec.theory.loads import expected_largest_load, load_bounds


def largest_stable_step_ratio(elements: int, slots: int) -> float:
    """The largest stable step on the memory / that on the full tables, for full gradients of one curvature: 1 / load.

    *Derived*: descent on m is descent on E preconditioned by R R'. Where the loss has curvature L in every direction,
    steps on E are stable below 2/L and on m below 2/(L largest load). In general this is the worst case: curvature that
    differs between ids (those looked up often have more) leaves more room, for then a hot id alone sets both limits.
    """
    return 1 / expected_largest_load(elements, slots)


def retuned_inflation(elements: int, slots: int, delta: float = 0.05) -> float:
    """At most so many times the iterations, when the step is chosen anew: largest / smallest load of a slot in use.

    *Derived*, for full gradients of any strongly convex quadratic: its condition number on m is at most that on E times
    this. So smaller steps alone do not make it slow: each slot's gradient grows with its load as its step shrinks, and
    the more is shared, the more even the loads. It counts iterations to the memory's *own* optimum, which may be worse
    than the tables'. With probability 1 - delta.
    """
    least, most = load_bounds(elements, slots, delta)
    return most / max(least, 1)


def readout_inflation(ids: int, slots: int) -> float:
    """Condition number of fitting one number for each of so many ids: ((1 + sqrt(g)) / (1 - sqrt(g)))^2, g = ids/M.

    The factor by which gradient descent takes more iterations to fit every id, as a full table's is 1; infinite from
    ids = M on, where not all can be fitted. *Others*: Marchenko & Pastur, Math. USSR-Sbornik 1 (1967), for the
    eigenvalues of Gram matrices. *Derived*: that it applies, to a fixed linear readout of signed rows of many chunks,
    ids that matter alike, full gradients. It is right within a tenth or two from 16 chunks a row on, too low by half at
    4, and at Z = D some ids have twins and never fit. Ids hardly looked up hardly count; which do count is for a
    measurement to say.
    """
    share = whole_number("ids", ids, at_least=1) / whole_number("slots", slots, at_least=1)
    if share >= 1:
        return math.inf
    return ((1 + math.sqrt(share)) / (1 - math.sqrt(share))) ** 2
