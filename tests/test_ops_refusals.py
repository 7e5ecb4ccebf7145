"""What the op refuses, and how it says so: bad arguments, and layouts that would leave the memory."""

from __future__ import annotations

import pytest
import torch
from lookups import collection, tables

from pocketrec import Table, ops
from pocketrec.ops.layout import from_tensor, to_tensor

BAD = {
    "negative id": ({"indices": torch.tensor([[0, -1, 0]])}, r"feature 'b1', sample 0: id -1 is outside \[0, 1\)"),
    "id too large": ({"indices": torch.tensor([[0, 0, 0], [129, 0, 0]])}, r"feature 'a', sample 1: id 129 is outside"),
    "float ids": ({"indices": torch.zeros(1, 3)}, "ids must be int64, got torch.float32"),
    "wrong width": ({"indices": torch.zeros(1, 2, dtype=torch.int64)}, r"shape \(B, 3\)"),
    "offsets fall": (
        {"indices": torch.zeros(3, dtype=torch.int64), "offsets": torch.tensor([0, 2, 1, 3])},
        "offset 2 is 1 after 2",
    ),
    "offsets start late": (
        {"indices": torch.zeros(3, dtype=torch.int64), "offsets": torch.tensor([1, 2, 2, 3])},
        "from 0 to the number of ids, 3, got 1 to 3",
    ),
    "offsets end early": (
        {"indices": torch.zeros(3, dtype=torch.int64), "offsets": torch.tensor([0, 1, 1, 2])},
        "got 0 to 2",
    ),
    "offsets do not divide": (
        {"indices": torch.zeros(3, dtype=torch.int64), "offsets": torch.tensor([0, 1, 3])},
        r"F\*B\+1 entries for F=3",
    ),
    "weights of another shape": ({"weights": torch.ones(1, 2, dtype=torch.float64)}, "shape of the ids"),
    "weights of another dtype": ({"weights": torch.ones(1, 3)}, "got torch.float32"),
    "another device": (
        {"indices": torch.zeros(1, 3, dtype=torch.int64, device="meta")},
        "ids on meta, but the memory is on cpu",
    ),
    "integer memory": ({"memory": torch.zeros(211, dtype=torch.int8)}, "floating-point"),
    "short memory": ({"memory": torch.zeros(100)}, "reads 211 slots but the memory has only 100"),
    "no memory": ({"memory": torch.zeros(0)}, "reads 211 slots but the memory has only 0"),
    "offsets beyond the ids": (
        {"indices": torch.zeros(3, dtype=torch.int64), "offsets": torch.tensor([0, 9, 9, 3])},
        "offset 3 is 3 after 9",
    ),
    "negative offsets": (
        {"indices": torch.zeros(3, dtype=torch.int64), "offsets": torch.tensor([0, -1, 2, 3])},
        "offset 1 is -1 after 0",
    ),
    "strided ids": ({"indices": torch.zeros(3, 2, dtype=torch.int64).T[:1]}, r"shape \(B, 3\)|contiguous"),
    "strided memory": ({"memory": torch.zeros(422)[::2]}, "contiguous"),
}


# A layout is ours to make, but the op is public: no number in it may lead a kernel out of the memory.
BAD_LAYOUTS = {
    "chunks longer than the memory": ({"chunk": 300, "dim": 300, "span": 211}, "region of 211 slots is shorter"),
    "starts beyond the region": ({"places": 212}, "lie outside its region"),
    "a region before the memory": ({"base": -1}, "no such layout"),
    "rows beyond the region": ({"rule": 0}, "lie outside its region"),
    "no chunk": ({"chunk": 0}, "no such layout"),
    "no rule": ({"rule": 9}, "no such layout"),
    "no pooling": ({"mode": 3}, "no such layout"),
    "a negative table": ({"num_embeddings": -1}, "no such layout"),
    "chunks beyond 2^31": ({"chunk": 2**40}, "no such layout"),
    "rows of their own in the region": ({"exact": 3, "exact_base": 0}, "before the region"),
    "rows of their own past the region": ({"exact": 1, "exact_base": 211}, "before the region"),
    "rows of their own that overflow": ({"exact": 2**62}, "before the region"),
    "fewer rows of their own than none": ({"exact": -1}, "before the region"),
    "places that overflow": ({"span": 2**62, "places": 2**62}, "the memory has only 211"),
}


@pytest.mark.parametrize("case", BAD_LAYOUTS)
def test_layouts_that_leave_the_memory_are_refused(case):
    changes, message = BAD_LAYOUTS[case]
    module = collection("robe", [Table("t", 1000, 12)])
    feature = from_tensor(module.layout)[0]._replace(**changes)
    ids = torch.zeros(1, 1, dtype=torch.int64)
    with pytest.raises(ValueError, match=message):
        ops.lookup(module.memory, ids, None, None, to_tensor([feature]), feature.dim)


def test_ids_of_no_feature_are_refused():
    module = collection("robe", tables())
    ids, offsets, none = torch.zeros(5, dtype=torch.int64), torch.tensor([0, 5]), torch.zeros(0, 20, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"F\*B\+1 entries for F=0"):
        ops.lookup(module.memory, ids, offsets, None, none, 0)


@pytest.mark.parametrize("op", ["lookup_backward", "lookup_backward_weights"])
def test_backwards_check_what_they_are_given(op):
    """Ids written to since the lookup, through NumPy say, would lead the kernel out of the memory."""
    module = collection("full", [Table("t", 9, 4)])
    call = getattr(torch.ops.pocketrec, op)
    weights = (None,) if op == "lookup_backward" else ()
    grad, ids = torch.zeros(1, 4, dtype=torch.float64), torch.tensor([[9]])
    memory = next(module.parameters()).detach()
    with pytest.raises(ValueError, match="id 9 is outside"):
        call(grad, memory, ids, None, *weights, module.layout_d4)
    with pytest.raises(ValueError, match="3 wide"):
        call(grad[:, :3], memory, ids, None, *weights, module.layout_d4)


def test_a_width_that_the_columns_do_not_fill_is_refused():
    module = collection("robe", tables())
    for width in (35, 37):
        with pytest.raises(ValueError, match=f"{width} wide"):
            ops.lookup(module.memory, torch.zeros(1, 3, dtype=torch.int64), None, None, module.layout, width)


def test_weights_go_with_sums_only():
    module = collection("robe", tables("mean"))
    ids, weights = torch.zeros(1, 3, dtype=torch.int64), torch.ones(1, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match="sum pooling only"):
        ops.lookup(module.memory, ids, None, weights, module.layout, 36)


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_named(case):
    module = collection("robe", tables())
    changes, message = BAD[case]
    args = {
        "memory": module.memory.detach(),
        "indices": torch.zeros(1, 3, dtype=torch.int64),
        "offsets": None,
        "weights": None,
    }
    args |= changes
    with pytest.raises(ValueError, match=message):
        ops.lookup(*args.values(), module.layout, 36, "a\nb1\nb2")
