"""Every op of the Triton kernels against the PyTorch reference, on the card: a fast wrong kernel measures nothing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pocketrec import EmbeddingBagCollection, Full, HashingTrick, Robe, Table
from pocketrec.ops import reference

SCHEMES = {
    "robe-16": Robe(16),
    "robe-1-signed": Robe(1, signed=True),
    "robe-32-aligned": Robe(32, align=32),
    "robe-128": Robe(128),
    "robe-ragged": Robe(5),
    "robe-linear-signed": Robe(8, hash="linear", signed=True),
    "robe-authors": Robe(8, hash="authors"),
    "hashing-trick": HashingTrick(),
    "full": Full(),
}
Batch = tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor]  # memory, ids, offsets, weights, layout
TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 4e-3}


def check_all(gpu: Any, device: str, tiny: bool) -> None:
    """Raise AssertionError, naming the case, at the first op that differs from the reference."""
    samples, dim = (5, 16) if tiny else (1000, 128)
    for dtype in [torch.float32] if tiny else TOLERANCES:
        for name, scheme in SCHEMES.items():
            for pooling in ("sum", "mean", "max"):
                print(f"correct? {name}, {pooling}, {dtype}", flush=True)
                _check(gpu, device, scheme, pooling, dtype, samples, dim)
    print("every op agrees with the reference")


def _check(gpu: Any, device: str, scheme: Any, pooling: str, dtype: torch.dtype, samples: int, dim: int) -> None:
    torch.manual_seed(0)
    tables = [Table("a", 5000, dim, pooling=pooling, padding_idx=3), Table("b", 7, dim - dim // 5, pooling=pooling)]
    budget = {} if isinstance(scheme, Full) else {"memory_size": 9973}
    parts = [EmbeddingBagCollection([table], scheme, dtype=dtype, **budget) for table in tables]
    for module, table in zip(parts, tables, strict=True):
        (parameter,), (layout,) = module.parameters(), module.buffers()
        lengths = torch.randint(0, 4, (samples,))
        values = torch.randint(0, table.num_embeddings or 1, (int(lengths.sum()),))
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
        memory = torch.randn(parameter.shape, dtype=torch.float64).to(dtype)
        weights = torch.randn(len(values), dtype=torch.float64).to(dtype) if pooling == "sum" else None
        grad = torch.randn(samples, table.embedding_dim, dtype=torch.float64).to(dtype)
        _compare(gpu, device, (memory, values, offsets, weights, layout), grad, TOLERANCES[dtype])
        ids = torch.randint(0, table.num_embeddings or 1, (samples, 1))
        _compare(gpu, device, (memory, ids, None, None, layout), grad, TOLERANCES[dtype])


def _compare(gpu: Any, device: str, batch: Batch, grad: Tensor, tolerance: float) -> None:
    """Forward, backward and one step of SGD for one batch, held against the reference on the CPU in its own dtype."""
    width, memory = grad.shape[1], batch[0]
    on: list[Any] = [None if t is None else t.to(device) for t in batch]
    near: dict[str, Any] = {"rtol": tolerance, "atol": 5 * tolerance, "equal_nan": True}
    gpu.check(*on, width)
    torch.testing.assert_close(gpu.lookup(*on, width).cpu(), reference.lookup(*batch, width), **near)
    own = reference.lookup_backward(grad, *batch)
    near["atol"] = tolerance * max(1.0, float(own.abs().max()))
    torch.testing.assert_close(gpu.lookup_backward(grad.to(device), *on).cpu(), own, **near)
    target = memory.to(device, copy=True)
    scratch = gpu.new_scratch(target)
    constants = [0.1, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]
    gpu.lookup_update_(grad.to(device), target, scratch, None, None, *on[1:], 0, constants)
    torch.testing.assert_close(target.cpu(), memory - 0.1 * own, **near)
    assert not scratch.any(), "the update left its scratch dirty"
