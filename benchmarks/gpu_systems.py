"""Three ways to hold the embeddings of one DLRM: in a shared memory, as tables on the card, as tables on the host.

Each offers `forward(ids)`, (B, F) -> (B, F * D), and `update(ids, grad)`, one step of plain SGD.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pocketrec import EmbeddingBagCollection, Robe, Table
from pocketrec.models import DLRM

# Criteo 1 TB, at most 40,000,000 rows a table (MLPerf DLRM-DCNv2).
TERABYTE_ROWS = (
    *(40_000_000, 39_060, 17_295, 7_424, 20_265, 3, 7_122, 1_543, 63, 40_000_000, 3_067_956, 405_282, 10),
    *(2_209, 11_938, 155, 4, 976, 14, 40_000_000, 40_000_000, 40_000_000, 590_152, 12_973, 108, 36),
)
DIM, DENSE, RATE = 128, 13, 1e-3


def rows_that_fit(free_bytes: float) -> list[int]:
    """The table sizes under the largest cap, at most 40 M, at which all tables take at most `free_bytes` in float32."""
    cap = 40_000_000
    while sum(min(n, cap) for n in TERABYTE_ROWS) * DIM * 4 > free_bytes:
        cap -= 500_000
    return [min(n, cap) for n in TERABYTE_ROWS]


class Shared:
    """One memory for all tables, looked up and updated by the Triton kernels."""

    def __init__(self, gpu: Any, rows: list[int], slots: int, chunk: int, device: str, align: int = 1) -> None:
        tables = [Table(f"t{i}", n, DIM) for i, n in enumerate(rows)]
        module = EmbeddingBagCollection(tables, Robe(chunk, align=align), memory_size=slots, device=device)
        (memory,), (self.layout,) = module.parameters(), module.buffers()
        self.gpu, self.memory, self.width = gpu, memory.detach(), len(rows) * DIM
        self.scratch = gpu.new_scratch(self.memory)

    def forward(self, ids: Tensor) -> Tensor:
        """Checked, as the library's lookups are."""
        self.gpu.check(self.memory, ids, None, None, self.layout, self.width)
        return self.gpu.lookup(self.memory, ids, None, None, self.layout, self.width)

    def backward(self, ids: Tensor, grad: Tensor) -> Tensor:
        return self.gpu.lookup_backward(grad, self.memory, ids, None, None, self.layout)

    def update(self, ids: Tensor, grad: Tensor) -> None:
        constants = [RATE, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]
        self.gpu.lookup_update_(grad, self.memory, self.scratch, None, None, ids, None, None, self.layout, 0, constants)


class OnCard:
    """All tables stacked into one on the card; SGD adds each row's gradient in place."""

    def __init__(self, rows: list[int], device: str) -> None:
        self.table = torch.empty(sum(rows), DIM, device=device).uniform_(-0.01, 0.01)
        self.first = _first_rows(rows).to(device)

    def forward(self, ids: Tensor) -> Tensor:
        return nn.functional.embedding(ids + self.first, self.table).flatten(1)

    def update(self, ids: Tensor, grad: Tensor) -> None:
        self.table.index_add_(0, (ids + self.first).view(-1), grad.view(-1, DIM), alpha=-RATE)


class OnHost:
    """The same in host memory: gathered by the CPU into a pinned buffer and copied; gradients go the other way."""

    def __init__(self, rows: list[int], batch: int, device: str) -> None:
        self.table = torch.empty(sum(rows), DIM).fill_(0.01)  # touched, so that no page is missing when timed
        self.first = _first_rows(rows)
        pinned = device != "cpu"
        self.staged = torch.empty(batch * len(rows), DIM, pin_memory=pinned)
        self.returned = torch.empty(batch * len(rows), DIM, pin_memory=pinned)
        self.device = device

    def forward(self, ids: Tensor) -> Tensor:
        places = (ids.cpu() + self.first).view(-1)
        torch.index_select(self.table, 0, places, out=self.staged)
        return self.staged.to(self.device, non_blocking=True).view(len(ids), -1)

    def update(self, ids: Tensor, grad: Tensor) -> None:
        self.returned.copy_(grad.view(-1, DIM))
        self.table.index_add_(0, (ids.cpu() + self.first).view(-1), self.returned, alpha=-RATE)


def _first_rows(rows: list[int]) -> Tensor:
    return torch.tensor([0, *rows[:-1]]).cumsum(0)


class _Given(nn.Module):
    """Stands in a DLRM where the embeddings would be: the rows are looked up outside."""

    num_features, embedding_dim = len(TERABYTE_ROWS), DIM

    def forward(self, rows: Tensor) -> Tensor:
        return rows.view(len(rows), self.num_features, DIM)


class Step:
    """One training step of the `terabyte` preset in float32 over any of the three."""

    def __init__(self, system: Any, batch: int, device: str) -> None:
        self.system = system
        self.model = DLRM.from_preset("terabyte", _Given()).to(device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=RATE)
        self.dense = torch.rand(batch, DENSE, device=device)
        self.labels = torch.randint(0, 2, (batch,), device=device).float()

    def __call__(self, ids: Tensor) -> None:
        rows = self.system.forward(ids).detach().requires_grad_()
        loss = nn.functional.binary_cross_entropy_with_logits(self.model(self.dense, rows), self.labels)
        loss.backward()
        assert rows.grad is not None
        self.system.update(ids, rows.grad)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=False)
