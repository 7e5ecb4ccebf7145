"""The op that steps a memory by the gradient of a lookup: what it declares, computes and refuses."""

from __future__ import annotations

import pytest
import torch
from lookups import random_bags

import pocketrec
from pocketrec import EmbeddingBagCollection, Robe, Table
from pocketrec.ops import Constants, Update, reference


def collection(dtype=torch.float64):
    torch.manual_seed(0)
    tables = [Table("a", 129, 12), Table("b", 40, 12, ("b1", "b2"))]
    return EmbeddingBagCollection(tables, Robe(4), memory_size=1000, dtype=dtype)


@pytest.mark.parametrize("rule", list(Update))
def test_the_op_declares_what_it_changes(rule):
    """opcheck compares the schema's mutation marks with what the op does."""
    module = collection()
    values, offsets = random_bags(module, 5)
    grad = torch.randn(5, 36, dtype=torch.float64)
    memory = module.memory.detach().clone()
    states = [torch.ones_like(memory) if int(rule) > i else None for i in range(2)]
    constants = list(Constants(0.1, 0.0, 1e-8, 0.9, 0.99, 0.5, 0.5))
    args = (grad, memory, None, *states, values, offsets, None, module.layout, int(rule), constants)
    torch.library.opcheck(torch.ops.pocketrec.lookup_update_, args)


@pytest.mark.parametrize("rule", list(Update))
def test_the_kernel_agrees_with_the_reference(rule):
    module = collection(dtype=torch.float32)
    values, offsets = random_bags(module, 40)
    grad = torch.randn(40, 36)
    constants = Constants(0.1, 0.01, 1e-8, 0.9, 0.99, 0.5, 0.5)
    ours, theirs = ([module.memory.detach().clone(), torch.ones(1000), torch.ones(1000)] for _ in range(2))
    torch.ops.pocketrec.lookup_update_(
        grad, ours[0], None, *ours[1:], values, offsets, None, module.layout, int(rule), list(constants)
    )
    sums = reference.lookup_backward(grad, theirs[0], values, offsets, None, module.layout)
    pocketrec.ops.step_(theirs[0], sums, *theirs[1:], rule, constants)
    torch.testing.assert_close(ours, theirs)


BAD_STATES = {
    "no state": ({"first": None}, "first is missing"),
    "a gradient of one dimension": ({"grad": torch.zeros(5, dtype=torch.float64)}, "with 5 rows"),
    "a short state": (
        {"first": torch.zeros(999, dtype=torch.float64)},
        r"first must be contiguous and hold 1000",
    ),
    "a state of another type": (
        {"first": torch.zeros(1000)},
        "first must be torch.float64 for a memory of torch.float64, got torch.float32",
    ),
    "a gradient of another batch": ({"grad": torch.zeros(4, 36, dtype=torch.float64)}, "with 5 rows"),
    "a gradient of another width": ({"grad": torch.zeros(5, 35, dtype=torch.float64)}, "35 wide"),
}


@pytest.mark.parametrize("case", BAD_STATES)
def test_arrays_that_do_not_fit_are_refused_before_anything_is_written(case):
    changes, message = BAD_STATES[case]
    module = collection()
    values, offsets = random_bags(module, 5)
    memory = module.memory.detach().clone()
    zeros = torch.zeros_like(memory)
    args = {"grad": torch.zeros(5, 36, dtype=torch.float64), "memory": memory, "scratch": None, "first": zeros}
    args |= changes
    with pytest.raises(ValueError, match=message):
        torch.ops.pocketrec.lookup_update_(
            *args.values(), None, values, offsets, None, module.layout, 1, list(Constants(0.1))
        )
    assert torch.equal(memory, module.memory)
